//! The command line. It owns nothing: it reads state, checks and imports the configuration, and leaves
//! requests for daemons.

mod command;
mod config_check;
mod exec;
pub mod exit;
pub mod import;
mod incidents;
mod modem;
mod notify;
mod request;
pub mod status;
mod usage;

pub use command::Command;
pub use request::Request;
