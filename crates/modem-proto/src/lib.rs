//! How to talk to a cellular stick, and when.
//!
//! Nothing in here reads a clock, a random source or a file: [`codec`] turns bytes into answers,
//! [`parse`] turns answers into facts, [`machine`] turns facts and time into actions. The daemon
//! `modem-dialer` carries the actions out; [`monitor`] does the same on the second port. Commands and answers are those of 3GPP TS 27.007 and
//! ITU-T V.250 unless a comment names another source.

pub mod codec;
mod command;
mod lines;
pub mod machine;
pub mod maintenance;
pub mod measure;
pub mod monitor;
mod outcome;
pub mod parse;

pub use command::{Answer, Command};
pub use outcome::{MobileError, Outcome};
