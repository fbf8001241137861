//! Tells people: conditions become messages, queued on data, delivered at least once.
//!
//! What is told and when is decided in [`alerts`] (pure), what still has to be delivered in
//! [`outbox`] (pure). Sending happens in a child process ([`deliver`]), a person's hooks in a unit of
//! their own ([`hooks`]); the daemon's loop waits for neither.

pub mod alerts;
pub mod channel;
pub mod courier;
pub mod daemon;
pub mod deliver;
pub mod events;
pub mod hooks;
pub mod notice;
pub mod outbox;
pub mod outgoing;
pub mod program;
pub mod settings;
pub mod status;
pub mod store;
pub mod trial;

/// Its name in unit, snapshot and requests.
pub const NAME: &str = "notify";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
