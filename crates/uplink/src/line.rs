//! The lines as they are at one moment: what the kernel has of them, and what probes say.

use crate::plan::Facts;
use link_health::{Grade, Verdict};
use ruleset::marks::Line;
use std::net::IpAddr;

/// A line to the internet at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNow {
    /// Which one.
    pub line: Line,
    /// Its interface, as far as anybody has named one.
    pub interface: Option<String>,
    /// The kernel's number for that interface; none while it is not there.
    pub index: Option<u32>,
    /// The interface is on, has a partner and an address.
    pub up: bool,
    /// There is a way out by it: it is up, and its own table has a default route.
    pub way: bool,
    /// Whether that way takes IPv4, and IPv6.
    pub ways: [bool; 2],
    /// Metric of its best default route in the main table; none without one.
    pub metric: Option<u32>,
    /// Through whom that goes; nobody on a point-to-point link.
    pub gateway: Option<IpAddr>,
    /// Its global addresses.
    pub addresses: Vec<IpAddr>,
    /// What probes say.
    pub verdict: Verdict,
}

impl LineNow {
    /// What it is good for as far as probes know.
    pub fn grade(&self) -> Grade {
        self.verdict.state.grade()
    }

    /// Whether it carries something, and that is known.
    pub fn usable(&self) -> bool {
        self.way && self.grade() >= Grade::Poor
    }

    /// Whether its data costs money.
    pub fn metered(&self) -> bool {
        self.line == Line::Cellular
    }

    pub(crate) fn see(line: Line, facts: &Facts, interface: Option<&str>, verdict: &Verdict) -> Self {
        let found = interface.and_then(|i| facts.link(i));
        let route = found.and_then(|l| facts.default_route(l.index));
        let addresses: Vec<_> = found.map(|l| facts.global_addresses(l.index).collect()).unwrap_or_default();
        let up = found.is_some_and(|l| l.up && l.carrier) && !addresses.is_empty();
        let ways = [true, false].map(|v4| up && found.is_some_and(|l| facts.way_out(line, l.index, v4)));
        Self {
            line,
            interface: interface.map(str::to_owned),
            index: found.map(|l| l.index),
            up,
            way: ways.contains(&true),
            ways,
            metric: route.map(|r| r.metric),
            gateway: route.and_then(|r| r.gateway),
            addresses,
            verdict: verdict.clone(),
        }
    }
}
