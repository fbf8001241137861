//! The faults that answer: nftables rules at the internet's end of a line, and the servers they lead
//! to. What only vanishes is the business of [`super::pipe`].

use std::fmt::Write as _;

use super::{How, Kind, Line, LineFault};
use crate::net::internet::{BOX_PORT, LIAR_PORT, PORTAL_PORT, SHOP_PORT, SINK_PORT};

/// The address that answers in the place of all others: the internet's end of the wired line.
const BOX: (&str, &str) = ("203.0.113.1", "2001:db8:ffff::1");

/// The rules of a line with these faults, as a script that replaces what was there. `epoch` is another
/// number each time: it opens a fresh zone of connection tracking, so that what was led elsewhere
/// before is not led there any longer, nor the other way round.
pub fn script(line: Line, faults: &[LineFault], epoch: u16) -> String {
    let (table, interface) = (table(line), line.interface());
    let zone = epoch.wrapping_mul(2) + u16::from(line == Line::Cellular) + 1;
    let (mut led, mut rejected) = (String::new(), String::new());
    for fault in faults {
        for rule in redirections(fault) {
            let _ = writeln!(led, "    iifname {interface} {rule}");
        }
        for rule in rejections(fault) {
            let _ = writeln!(rejected, "    iifname {interface} {rule}");
        }
    }
    format!(
        "table inet {table} {{
  }}
  delete table inet {table}
  table inet {table} {{
  chain zone-in {{ type filter hook prerouting priority raw
    iifname {interface} ct zone set {zone}
  }}
  chain zone-out {{ type filter hook output priority raw
    oifname {interface} ct zone set {zone}
  }}
  chain led {{ type nat hook prerouting priority dstnat
{led}  }}
  chain rejected {{ type filter hook input priority filter
{rejected}  }}
  chain rejected-beyond {{ type filter hook forward priority filter
{rejected}  }}
}}
"
    )
}

fn table(line: Line) -> &'static str {
    match line {
        Line::Wired => "line-wired",
        Line::Cellular => "line-cellular",
    }
}

/// Who is led to another server.
fn redirections(fault: &LineFault) -> Vec<String> {
    let tcp = |port: u16, to: u16| format!("tcp dport {port} redirect to :{to}");
    let ping = [
        format!("icmp type echo-request dnat ip to {}", BOX.0),
        format!("icmpv6 type echo-request dnat ip6 to {}", BOX.1),
    ];
    let names = ["udp", "tcp"].map(|protocol| format!("{protocol} dport 53 redirect to :{LIAR_PORT}"));
    match (fault.kind, fault.how) {
        (Kind::Http, How::Open) => vec![tcp(80, SINK_PORT)],
        (Kind::Tls, How::Open) => vec![tcp(443, SINK_PORT)],
        (Kind::QuotaWall, How::Open) => vec![format!("tcp dport != 53 redirect to :{SINK_PORT}")],
        (Kind::QuotaWall, How::Redirect) => vec![tcp(80, SHOP_PORT)],
        (Kind::Portal, _) => names.into_iter().chain([tcp(80, PORTAL_PORT)]).collect(),
        (Kind::GatewayAnswersAll, _) => {
            let all = format!("meta l4proto tcp redirect to :{BOX_PORT}");
            ping.into_iter().chain(names).chain([all]).collect()
        }
        _ => Vec::new(),
    }
}

/// Who is turned away. The ports are those after redirection.
fn rejections(fault: &LineFault) -> Vec<String> {
    let reset = |port: u16| format!("tcp dport {port} reject with tcp reset");
    match (fault.kind, fault.how) {
        (Kind::Http, How::Reset) => vec![reset(80)],
        (Kind::Tls, How::Reset) => vec![reset(443)],
        (Kind::QuotaWall, How::Reset) => vec!["tcp dport != 53 reject with tcp reset".to_owned()],
        (Kind::QuotaWall, How::Redirect) => {
            vec![format!("tcp dport != {{ 53, {SHOP_PORT} }} reject with tcp reset")]
        }
        (Kind::Portal, _) => vec![
            format!("tcp dport != {{ {LIAR_PORT}, {PORTAL_PORT} }} reject with tcp reset"),
            format!("udp dport != {LIAR_PORT} reject with icmpx port-unreachable"),
        ],
        _ => Vec::new(),
    }
}
