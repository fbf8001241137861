//! Questions asked over one line and by no other, for whoever asks: `uplink`'s probes, `timekeeper`, `web`.
//!
//! Sockets bound to a line ([`Way`]), the bytes of a question to a name server ([`dns`]) and of a request
//! for a known page ([`http`]) with the judging of what comes back, who may be asked ([`public`]), numbers
//! that nobody outside can guess ([`Random`]), and what all that costs ([`cost`]). No loop and no policy.

pub mod cost;
pub mod dns;
pub mod http;
pub mod public;
mod random;
mod way;

pub use random::Random;
pub use way::Way;
