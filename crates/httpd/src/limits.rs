//! What a server is held to, and what it has done.

use std::time::Duration;

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; one more closes one of the source that has most.
    pub connections: usize,
    /// Open connections of one IPv4 address or IPv6 /64; one more closes its longest idle.
    pub per_source: usize,
    /// From the first byte we wait for to the end of the head.
    pub head: Duration,
    /// For the client to take an answer.
    pub write: Duration,
    /// Between requests on one connection.
    pub idle: Duration,
    /// For the client to close after the last answer.
    pub linger: Duration,
    /// For clients with open connections to ask once more and be told that it was the last time,
    /// before the process ends.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            // As the packet filter has it (netguard's connlimit): a quarter of all.
            per_source: 128,
            // Route 53 gives up after 4 s to connect and 2 s to answer; a person's phone has no more patience.
            head: Duration::from_secs(5),
            write: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            // A request that is under way arrives within a round trip; the next process is waiting.
            drain: Duration::from_secs(1),
        }
    }
}

/// What a server has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests answered, wrong ones included.
    pub requests: u64,
    /// Those among them that were no proper GET or HEAD.
    pub refused: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed to make room.
    pub evicted: u64,
    /// Connections closed because a deadline passed.
    pub timeouts: u64,
}
