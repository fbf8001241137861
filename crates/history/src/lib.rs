//! What was asked of whom in the last day, for charts: by target, in steps of a minute.
//!
//! Keyed by `CLOCK_BOOTTIME`; the wall clock is a label put on when the record is written, so that a
//! clock that jumps by years moves labels and nothing else.

mod ring;
mod store;

pub use ring::{Asked, Ring};
pub use store::{Place, Store};
