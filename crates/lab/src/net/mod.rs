//! The lab's network building blocks: namespaces, and the few clients and servers that live in
//! them. Small and blocking on purpose: a thread that entered a namespace is all it takes.

pub(crate) mod clock;
pub mod dns;
pub mod forward;
pub mod http;
pub mod internet;
pub mod namespace;
pub mod route53;
pub mod zone;

pub use namespace::Namespace;
