//! The charts' record of this daemon's probes; the record itself is crate `history`.

use history::{Asked, Place};
use link_health::{Kind, Target};
use ruleset::marks::Line;

/// Where it lies.
pub(crate) const PLACE: Place =
    Place { shown: "/run/failberry-uplink/history.json", kept: "/data/failberry/uplink/history" };

/// A target as the record knows it.
pub(crate) fn entry(line: Line, target: &Target) -> Asked<'_> {
    Asked { line: line.name(), name: &target.name, operator: &target.operator, kind: word(&target.kind) }
}

/// A kind in snapshots and records.
pub(crate) fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Icmp => "icmp",
        Kind::Dns { .. } => "dns",
        Kind::Http { .. } => "http",
        Kind::Tcp => "tcp",
        Kind::Tls => "tls",
    }
}
