//! What a probe costs on a meter, and how much of it may be spent.
//!
//! Sizes are of IP packets in both directions, as a provider counts them. Lower layers (PPP, LTE) are
//! not on the bill.

use std::time::Duration;

use sysio::Monotonic;

use crate::{Family, Target, pace::Sort};

/// IPv4 header without options (RFC 791) and IPv6 header (RFC 8200).
const IP: [u64; 2] = [20, 40];
/// ICMP echo header (RFC 792).
const ICMP: u64 = 8;
/// What an echo carries: zero-byte pings are dropped by some (opnsense/core#4047).
const ECHO_PAYLOAD: u64 = 16;
const UDP: u64 = 8;
/// Header and one question for a name of 24 bytes, type and class (RFC 1035, 4.1).
const DNS_QUESTION: u64 = 12 + 26 + 4;
/// The question back, with two records of IPv6 addresses.
const DNS_ANSWER: u64 = DNS_QUESTION + 2 * 28;
/// TCP header with timestamps (RFC 7323), as Linux sends it; SYNs have 8 bytes more.
const TCP: u64 = 32;
const SYN: u64 = 40;
/// Request line, Host, Connection, User-Agent.
const HTTP_REQUEST: u64 = 160;
/// Status line, headers and a short body, of the pages in the default list.
const HTTP_ANSWER: u64 = 600;
/// A greeting without a key, with a server name of 24 bytes (RFC 8446, 4.1.2).
const TLS_HELLO: u64 = 200;
/// A server asks for a key by a `HelloRetryRequest` (RFC 8446, 4.1.4) and a change of cipher, or refuses
/// by an alert: no certificates.
const TLS_ANSWER: u64 = 150;

/// What a probe of a kind costs, both ways together.
pub(crate) fn cost(sort: Sort, family: Family) -> u64 {
    let ip = IP[usize::from(family == Family::V6)];
    let segment = ip + TCP;
    // SYN, SYN-ACK, ACK; later FIN, FIN, ACK.
    let connection = 2 * (ip + SYN) + 4 * segment;
    let dns = 2 * (ip + UDP) + DNS_QUESTION + DNS_ANSWER;
    match sort {
        Sort::Echo => 2 * (ip + ICMP + ECHO_PAYLOAD),
        Sort::Dns => dns,
        Sort::Tcp => connection,
        // Each segment with data is acknowledged; the name is looked up first.
        Sort::Http => dns + connection + 4 * segment + HTTP_REQUEST + HTTP_ANSWER,
        Sort::Tls => dns + connection + 4 * segment + TLS_HELLO + TLS_ANSWER,
    }
}

/// What a probe of this target costs on a meter: IP packets both ways, in bytes.
pub fn probe_bytes(target: &Target) -> u64 {
    cost(Sort::of(&target.kind), target.family)
}

/// What may be spent beyond the idle schedule: on fresh calls, on doubts, on a line in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    milli: u64,
    at: Monotonic,
}

/// Bytes a second that come in: 3.1 MB in 30 days. With the idle schedule's 4 MB that stays below 10 MB
/// even for a line whose call breaks every minute or that is in use all month.
const INCOME_MILLI: u64 = 1200;
/// What is saved up at most, and there at the start: an hour of a line in use.
const SAVED: u64 = 200_000;

impl Default for Allowance {
    fn default() -> Self {
        Self { milli: SAVED * 1000, at: Monotonic::default() }
    }
}

impl Allowance {
    pub(crate) fn earn(&mut self, now: Monotonic) {
        let waited: Duration = now.since(self.at);
        self.at = now.max(self.at);
        let income =
            u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).saturating_mul(INCOME_MILLI) / 1000;
        self.milli = self.milli.saturating_add(income).min(SAVED * 1000);
    }

    pub(crate) fn spend(&mut self, bytes: u64) {
        self.milli = self.milli.saturating_sub(bytes * 1000);
    }

    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.milli >= bytes * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_costs_its_packets_both_ways() {
        assert_eq!((cost(Sort::Echo, Family::V4), cost(Sort::Echo, Family::V6)), (88, 128));
    }

    #[test]
    fn a_month_of_nothing_but_income_is_a_third_of_the_budget() {
        const { assert!(INCOME_MILLI * 30 * 86_400 / 1000 + SAVED < 3_500_000) }
    }

    #[test]
    fn what_is_spent_comes_back_slowly() {
        let mut allowance = Allowance::default();
        allowance.spend(SAVED);
        assert!(!allowance.has(1));
        allowance.earn(Monotonic::from_secs(1000));
        assert!(allowance.has(1200) && !allowance.has(1201));
        allowance.earn(Monotonic::from_secs(10_000_000));
        assert!(allowance.has(SAVED) && !allowance.has(SAVED + 1));
    }
}
