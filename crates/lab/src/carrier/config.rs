//! What a carrier is told before it starts.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

/// One carrier and its one subscriber.
#[derive(Debug, Clone)]
pub struct CarrierConfig {
    /// Network namespace the TUN device is made in, as a file (`/run/netns/internet`,
    /// `/proc/PID/ns/net`); `None` for the process's own.
    pub netns: Option<PathBuf>,
    /// Name of the TUN device, at most 15 bytes.
    pub tun: String,
    /// The carrier's end of the link: the TUN device's address.
    pub gateway: Ipv4Addr,
    /// The address the subscriber gets.
    pub subscriber: Ipv4Addr,
    /// DNS servers told to the subscriber who asks (RFC 1877, options 129 and 131).
    pub dns: [Ipv4Addr; 2],
    /// IPv6 service; `None` is an IPv4-only subscription, which protocol-rejects IPV6CP.
    pub ipv6: Option<Ipv6Subscriber>,
    /// What the subscriber must prove.
    pub auth: Auth,
    /// From `ATD` to `CONNECT`.
    pub answer_delay: Duration,
}

/// IPv6 addresses of the link (RFC 5072: PPP negotiates interface identifiers only).
#[derive(Debug, Clone, Copy)]
pub struct Ipv6Subscriber {
    /// Interface identifier of the carrier's end; its link-local address is `fe80::` plus this.
    pub gateway_id: u64,
    /// Interface identifier the carrier suggests to a subscriber who has none.
    pub subscriber_id: u64,
    /// The /64 a router advertisement gives the subscriber (3GPP TS 29.061 section 11.2.1.3.2).
    pub prefix: Ipv6Addr,
}

/// How the subscriber authenticates.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// Protocols asked for, the preferred one first; empty asks for none.
    pub methods: Vec<AuthMethod>,
    /// The only credentials taken; `None` takes any, as most providers' APNs do.
    pub credentials: Option<Credentials>,
    /// Whether a subscriber who refuses every method is turned away. Sticks are lenient: what
    /// counts is the network's verdict on the PDP context.
    pub required: bool,
}

/// An authentication protocol of PPP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// RFC 1334.
    Pap,
    /// RFC 1994 with MD5.
    Chap,
}

/// Name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// PAP peer id, CHAP name.
    pub user: String,
    /// PAP password, CHAP secret.
    pub password: String,
}

impl Default for CarrierConfig {
    /// Documentation addresses (RFC 5737), CHAP preferred over PAP, any credentials: what a
    /// Qualcomm-based stick such as the MF180 offers.
    fn default() -> Self {
        Self {
            netns: None,
            tun: "carrier0".into(),
            gateway: Ipv4Addr::new(198, 51, 100, 1),
            subscriber: Ipv4Addr::new(198, 51, 100, 20),
            dns: [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(192, 0, 2, 54)],
            ipv6: None,
            auth: Auth {
                methods: vec![AuthMethod::Chap, AuthMethod::Pap],
                credentials: None,
                required: false,
            },
            answer_delay: Duration::from_millis(300),
        }
    }
}
