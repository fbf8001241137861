//! Route 53's failover records: two record sets of one name, and a health check that decides which of
//! them the world is told.
//!
//! [`wanted`] says what is to be there, [`service`] reads what is there, [`plan`] is the difference
//! (pure), [`apply`] makes it, [`show`] and [`status`] tell people. What changes later, the addresses,
//! is the daemon's business: it tells each set its line's and the health check the wired line's.
//!
//! The wired line is checked from outside. The cellular one is not: every checker's question would be
//! paid for by its data plan, and without a check of its own the second set is the answer whenever the
//! first is unhealthy (API reference, `ResourceRecordSet`, `Failover`).

pub mod apply;
pub mod cli;
pub mod plan;
mod run;
pub mod service;
pub mod show;
pub mod status;
pub mod wanted;

/// The set that is answered while the wired line works.
pub const WIRED_SET: &str = "failberry-wired";
/// The set that is answered otherwise.
pub const CELLULAR_SET: &str = "failberry-cellular";

/// Where the health endpoint listens (`pinghttpserver`).
const PORT: u16 = 9000;
/// What it is asked there: 200 while `uplink` calls the wired line usable, 503 otherwise. The status
/// says it all, so no string is matched, which would cost extra.
const PATH: &str = "/health/wired";
/// Seconds between the questions of one checker. There are two choices, and the other (10) costs extra.
const INTERVAL: u32 = 30;
/// Answers in a row that change a checker's mind; Route 53's own default.
const THRESHOLD: u32 = 3;

#[cfg(test)]
mod model_tests;
