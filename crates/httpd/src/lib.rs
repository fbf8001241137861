//! A small HTTP/1 responder for ports that strangers can reach.
//!
//! One event loop over an epoll descriptor, which itself is one descriptor to poll: it fits into
//! `daemonkit`'s loop however many connections there are. Nothing here is unbounded: a connection
//! costs at most [`request::MAX_HEAD`] bytes of memory, has a deadline in every phase, and is closed
//! to make room when there are too many, first one of the source that has most. There are no threads.
//!
//! It answers GET and HEAD out of memory, and that is all it does.

mod connection;
mod crowd;
mod latency;
mod limits;
mod listen;
pub mod request;
mod response;
mod server;
mod service;

pub use latency::Latency;
pub use limits::{Counters, Limits};
pub use listen::{inherit_or_listen, listen};
pub use request::{Method, Request};
pub use response::{Body, Response};
pub use server::Server;
pub use service::{Broken, Service, Site};
