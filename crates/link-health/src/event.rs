//! What happens to a watch, and what it wants done.

use std::time::Duration;

use crate::{Target, Verdict};

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target answered as it should.
    Answered {
        /// From the first packet to the answer.
        latency: Duration,
        /// The status, where the kind has one (HTTP status, DNS response code).
        code: Option<u16>,
    },
    /// No answer within the probe's timeout. An answer after that may follow with the same id; it
    /// counts as life.
    Silent,
    /// Somebody on the way, or the target's own system, said no: unreachable, reset. Never a reply.
    Refused {
        /// Who said what.
        why: String,
    },
    /// An answer with other content than the target's.
    Wrong {
        /// The status, where the kind has one.
        code: Option<u16>,
        /// What was wrong, as in `302 to http://login.example/`.
        why: String,
    },
    /// The target's name was not resolved, so it was not asked.
    Unresolvable,
    /// Our own kernel refused to send it: says nothing of the line.
    Unsent(String),
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A deadline has passed.
    Tick,
    /// The line has an interface with an address and a way out, or has it no more.
    Link(bool),
    /// A probe ended, or was answered after it had ended.
    Result {
        /// The id [`Action::Probe`] gave it.
        probe: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// The interface's counters. They may start again at 0.
    Traffic {
        /// Packets sent since the interface is there.
        sent_packets: u64,
        /// Packets received.
        received_packets: u64,
    },
    /// Other targets from now on; those known by name and unchanged keep what is known of them.
    Targets(Vec<Target>),
    /// The line carries our traffic, or does not.
    Active(bool),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask a target; tell what became of it with [`Event::Result`].
    Probe {
        /// Never used twice by one watch.
        probe: u64,
        /// Index into the list of targets last given.
        target: usize,
        /// After this it is silent. Go on listening for a late answer for some seconds if that
        /// costs nothing.
        timeout: Duration,
    },
    /// The verdict is another.
    Changed(Verdict),
}
