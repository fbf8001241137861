//! systemd-networkd's lease file: `KEY=value` lines, as `sd_dhcp_lease_save` in its source
//! (src/libsystemd-network/sd-dhcp-lease.c) writes them below `/run/systemd/netif/leases`.

use std::net::Ipv4Addr;

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
    pub(super) dns: Vec<Ipv4Addr>,
    pub(super) mtu: Option<u32>,
}

/// Reads it; without an address or a way out it is none.
pub(super) fn parse(text: &str) -> Option<Lease> {
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim);
    let addresses = |key| {
        let words = value(key).unwrap_or_default().split_whitespace();
        words.filter_map(|word| word.parse::<Ipv4Addr>().ok()).collect::<Vec<_>>()
    };
    let address = value("ADDRESS")?.parse().ok()?;
    // Some sticks are router and server in one and name themselves as neither.
    let gateway = *addresses("ROUTER").first().or(addresses("SERVER_ADDRESS").first())?;
    Some(Lease {
        address,
        gateway,
        dns: addresses("DNS"),
        mtu: value("MTU").and_then(|mtu| mtu.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_networkd_writes() {
        let text = "# This is private data. Do not parse.\nADDRESS=192.168.8.100\nNETMASK=255.255.255.0\n\
                    ROUTER=192.168.8.1\nSERVER_ADDRESS=192.168.8.1\nT1=30min\nLIFETIME=1h\n\
                    DNS=192.168.8.1 192.0.2.53\nMTU=1400\n";
        let lease = parse(text).unwrap();
        assert_eq!((lease.address, lease.gateway), ([192, 168, 8, 100].into(), [192, 168, 8, 1].into()));
        assert_eq!((lease.dns.len(), lease.mtu), (2, Some(1400)));
    }

    #[test]
    fn a_lease_that_leads_nowhere_is_none() {
        assert_eq!(parse("ADDRESS=192.168.8.100\n"), None);
        assert_eq!(parse("ROUTER=192.168.8.1\n"), None);
        assert_eq!(parse("ADDRESS=nonsense\nROUTER=192.168.8.1\n"), None);
        assert_eq!(parse(""), None);
    }
}
