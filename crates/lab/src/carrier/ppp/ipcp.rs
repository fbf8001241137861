//! Address negotiation: IPCP (RFC 1332, RFC 1877 for DNS servers) and IPV6CP (RFC 5072).

use std::net::Ipv4Addr;

use super::negotiation::{Options, Verdict};
use super::option::Opt;

const ADDRESS: u8 = 3;
const PRIMARY_DNS: u8 = 129;
const SECONDARY_DNS: u8 = 131;
/// The only option of IPV6CP in use.
const INTERFACE_ID: u8 = 1;

/// Our side of IPCP.
#[derive(Debug)]
pub(super) struct Ipcp {
    gateway: Option<Ipv4Addr>,
    subscriber: Ipv4Addr,
    dns: [Ipv4Addr; 2],
}

impl Ipcp {
    /// Gives `subscriber` and `dns` to the peer and calls itself `gateway`.
    pub(super) fn new(gateway: Ipv4Addr, subscriber: Ipv4Addr, dns: [Ipv4Addr; 2]) -> Self {
        Self { gateway: Some(gateway), subscriber, dns }
    }
}

impl Options for Ipcp {
    fn request(&self) -> Vec<Opt> {
        self.gateway.iter().map(|address| Opt::new(ADDRESS, address.octets())).collect()
    }

    /// Our address is not up for discussion.
    fn naked(&mut self, _suggested: &[Opt]) {}

    fn rejected(&mut self, _rejected: &[Opt]) {
        self.gateway = None;
    }

    fn judge(&mut self, asked: &[Opt]) -> Verdict {
        let (mut unknown, mut better) = (Vec::new(), Vec::new());
        for option in asked {
            let right = match option.kind {
                ADDRESS => self.subscriber,
                PRIMARY_DNS => self.dns[0],
                SECONDARY_DNS => self.dns[1],
                // Header compression (2) and NetBIOS name servers (130, 132) among them.
                _ => {
                    unknown.push(option.clone());
                    continue;
                }
            };
            if option.value != right.octets() {
                better.push(Opt::new(option.kind, right.octets()));
            }
        }
        // A peer that asks for no address gets one suggested (RFC 1332 section 3.3).
        if !asked.iter().any(|option| option.kind == ADDRESS) {
            better.push(Opt::new(ADDRESS, self.subscriber.octets()));
        }
        verdict(unknown, better)
    }
}

/// Our side of IPV6CP.
#[derive(Debug)]
pub(super) struct Ipv6cp {
    gateway_id: u64,
    subscriber_id: u64,
}

impl Ipv6cp {
    /// Calls itself `gateway_id`; suggests `subscriber_id` to a peer without an identifier.
    pub(super) fn new(gateway_id: u64, subscriber_id: u64) -> Self {
        Self { gateway_id, subscriber_id }
    }
}

impl Options for Ipv6cp {
    fn request(&self) -> Vec<Opt> {
        vec![Opt::new(INTERFACE_ID, self.gateway_id.to_be_bytes())]
    }

    fn naked(&mut self, _suggested: &[Opt]) {}

    fn rejected(&mut self, _rejected: &[Opt]) {}

    fn judge(&mut self, asked: &[Opt]) -> Verdict {
        let (mut unknown, mut better) = (Vec::new(), Vec::new());
        for option in asked {
            match (option.kind, <[u8; 8]>::try_from(&option.value[..])) {
                // Zero asks for a suggestion; ours would collide (RFC 5072 section 4.1).
                (INTERFACE_ID, Ok(id)) if [0, self.gateway_id].contains(&u64::from_be_bytes(id)) => {
                    better.push(Opt::new(INTERFACE_ID, self.subscriber_id.to_be_bytes()));
                }
                (INTERFACE_ID, Ok(_)) => {}
                _ => unknown.push(option.clone()),
            }
        }
        verdict(unknown, better)
    }
}

fn verdict(unknown: Vec<Opt>, better: Vec<Opt>) -> Verdict {
    match (unknown.is_empty(), better.is_empty()) {
        (false, _) => Verdict::Reject(unknown),
        (true, false) => Verdict::Nak(better),
        (true, true) => Verdict::Ack,
    }
}
