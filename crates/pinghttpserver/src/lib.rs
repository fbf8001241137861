//! The health endpoint: whoever gets a 200 here has reached the house.
//!
//! Route 53 and its kin have no ping, hence a web server. Its port is open to the internet, so it does
//! nothing but answer: no configuration, no input beyond the request line, one file read (`uplink`'s
//! snapshot, when it has changed).

mod site;
pub mod verdict;

pub use site::HealthSite;

/// The port of the field story; health checks out there are configured with it.
pub const PORT: u16 = 9000;
