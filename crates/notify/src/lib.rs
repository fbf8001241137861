//! Tells people: conditions become messages, queued on data, delivered at least once.
//!
//! What is told and when is decided in [`alerts`] (pure), what still has to be delivered in
//! [`outbox`] (pure). Sending happens in a child process ([`deliver`]), a person's hooks in a unit of
//! their own ([`hooks`]); the daemon's loop waits for neither.

pub mod alerts;
pub mod channel;
pub mod courier;
pub mod deliver;
pub mod notice;
pub mod outbox;
pub mod outgoing;
pub mod settings;
pub mod store;
