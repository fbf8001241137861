//! Which name servers are asked, in which order; pure.

use link_health::{Part, State};
use ruleset::marks::Line;
use std::fmt::Write as _;
use std::net::IpAddr;

/// resolv.conf(5): libc uses the first three (`MAXNS`).
const NAME_SERVERS: usize = 3;

/// The servers of the line in use first. Where those are known to be dead, public ones come before
/// them. The wired line's are of use behind the cellular one's, too: most are the house's router,
/// which is reached either way. A carrier's often answer nobody outside its network, so they are
/// asked only by its own line.
pub(crate) fn choose(
    active: Option<(Line, State)>,
    wired: &[IpAddr],
    carrier: &[IpAddr],
    last_resort: &[IpAddr],
) -> Vec<IpAddr> {
    let dead = active.is_some_and(|(_, state)| state == State::Partial(Part::Dns));
    let order: [&[IpAddr]; 4] = match active.map(|(line, _)| line) {
        Some(Line::Cellular) if dead => [last_resort, carrier, wired, &[]],
        Some(Line::Cellular) => [carrier, wired, last_resort, &[]],
        _ if dead => [last_resort, wired, &[], &[]],
        _ => [wired, last_resort, &[], &[]],
    };
    let mut servers = Vec::new();
    for server in order.into_iter().flatten() {
        if !servers.contains(server) && servers.len() < NAME_SERVERS {
            servers.push(*server);
        }
    }
    servers
}

pub(crate) fn resolv_conf(servers: &[IpAddr]) -> String {
    let mut text = String::from("# Written by uplink; the DNS servers of the line in use come first.\n");
    for server in servers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "nameserver {server}");
    }
    // libc waits 5 s for each server otherwise; a dead line's server should not hold everything up.
    text.push_str("options timeout:2\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips<const N: usize>(texts: [&str; N]) -> Vec<IpAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn dead_name_servers_of_a_line_come_behind_public_ones() {
        let (wired, carrier, public) =
            (ips(["192.168.178.1"]), ips(["198.51.100.53"]), ips(["192.0.2.53", "192.0.2.54"]));
        let list = |line, state| choose(Some((line, state)), &wired, &carrier, &public);
        assert_eq!(list(Line::Wired, State::Up)[0], wired[0]);
        let dead = list(Line::Wired, State::Partial(Part::Dns));
        assert_eq!(dead, [public[0], public[1], wired[0]]);
        assert!(!list(Line::Wired, State::Down).contains(&carrier[0]));
        let dead = list(Line::Cellular, State::Partial(Part::Dns));
        assert_eq!(dead, [public[0], public[1], carrier[0]]);
    }
}
