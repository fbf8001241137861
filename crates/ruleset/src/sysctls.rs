//! The kernel's network settings, in the order in which they have to be written.

use crate::Policy;

/// When a setting is left as it is although it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unless {
    /// Never: it is put right.
    Never,
    /// When somebody has chosen this very value.
    Is(&'static str),
}

/// One setting: a path below `/proc/sys` with slashes, so that `eth0.100` stays one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Below `/proc/sys`.
    pub path: String,
    /// What it should read.
    pub value: &'static str,
    /// A value that is respected.
    pub unless: Unless,
}

/// The settings a policy asks for.
///
/// `ip_forward` is the first: writing it resets others, such as `all/accept_redirects` (kernel:
/// `inet_forward_change` in net/ipv4/devinet.c).
pub fn sysctls(policy: &Policy) -> Vec<Sysctl> {
    let fixed = |path: &str, value| Sysctl { path: format!("net/{path}"), value, unless: Unless::Never };
    let mut list = vec![
        fixed("ipv4/ip_forward", "1"),
        fixed("ipv6/conf/all/forwarding", "1"),
        // Loose: with two lines, an answer may come in where no route to its sender goes out.
        fixed("ipv4/conf/all/rp_filter", "2"),
        fixed("ipv4/conf/default/rp_filter", "2"),
        fixed("ipv4/conf/all/accept_redirects", "0"),
        fixed("ipv4/conf/default/accept_redirects", "0"),
        fixed("ipv6/conf/all/accept_redirects", "0"),
        fixed("ipv6/conf/default/accept_redirects", "0"),
        fixed("ipv4/conf/all/accept_source_route", "0"),
        // Either of `all` and the interface's own sends them; LAN and router share a segment,
        // and a redirect would tell devices to go around us.
        fixed("ipv4/conf/all/send_redirects", "0"),
        fixed("ipv4/conf/default/send_redirects", "0"),
        fixed("ipv4/tcp_syncookies", "1"),
        // A forwarding host ignores router advertisements unless this is 2; ppp interfaces
        // are born with the default.
        fixed("ipv6/conf/default/accept_ra", "2"),
    ];
    for lan in policy.lan.iter().map(crate::InterfacePattern::as_str).filter(|name| !name.ends_with('+')) {
        list.push(fixed(&format!("ipv4/conf/{lan}/send_redirects"), "0"));
        list.push(fixed(&format!("ipv6/conf/{lan}/accept_redirects"), "0"));
        // 0 means that systemd-networkd takes the advertisements itself; the kernel must not, too.
        let unless = Unless::Is("0");
        list.push(Sysctl { path: format!("net/ipv6/conf/{lan}/accept_ra"), value: "2", unless });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_comes_before_what_it_resets() {
        let list = sysctls(&Policy::standard("eth0".parse().unwrap()));
        assert_eq!(list[0].path, "net/ipv4/ip_forward");
        assert_eq!(list[0].value, "1");
    }

    #[test]
    fn a_dotted_interface_stays_one_component() {
        let list = sysctls(&Policy::standard("eth0.100".parse().unwrap()));
        assert!(list.iter().any(|s| s.path == "net/ipv6/conf/eth0.100/accept_ra"));
    }
}
