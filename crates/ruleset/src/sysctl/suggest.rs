//! Did you mean?

/// So many wrong, missing or exchanged characters are still a slip of the fingers.
const SLIPS: usize = 2;

/// The path among `known` that somebody most likely meant; none if nothing is near.
///
/// A name whose beginning was forgotten (`ipv4/ip_forward`) is near, too.
pub fn nearest<'a>(path: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| {
        let forgotten = other.strip_suffix(path).is_some_and(|rest| rest.ends_with('/'));
        if forgotten { 1 } else { strsim::damerau_levenshtein(&path.to_lowercase(), other) }
    };
    // Lengths first: the distance is at least their difference, and most of a thousand names end there.
    let near =
        known.into_iter().filter(|other| other.len().abs_diff(path.len()) <= SLIPS || other.ends_with(path));
    let best = near.map(|other| (distance(other), other)).min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, _)| *distance <= SLIPS).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = [
        "net/ipv4/ip_forward",
        "net/ipv6/conf/all/forwarding",
        "net/ipv4/conf/eth0.100/rp_filter",
        "vm/swappiness",
    ];

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_none() {
        for (path, meant) in [
            ("net/ipv4/ip_foward", 0),
            ("net/ipv4/ipforward", 0),
            ("NET/ipv4/ip_forward", 0),
            ("ipv4/ip_forward", 0),
            ("net/ipv4/conf/eth0/100/rp_filter", 2),
        ] {
            assert_eq!(nearest(path, KNOWN), Some(KNOWN[meant]), "{path}");
        }
        assert_eq!(nearest("net/bridge/bridge-nf-call-iptables", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }
}
