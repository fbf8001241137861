//! Names of settings: dots or slashes, and interfaces with a dot in their name.

/// A setting's path below `/proc/sys`, `net/ipv4/conf/eth0.100/rp_filter`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Why a text is no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing, or nothing but separators.
    #[error("a setting's name is empty; write it like net.ipv4.ip_forward")]
    Empty,
    /// `..`, a space, `=`.
    #[error("{0:?} is no setting's name: {1}; write it like net.ipv4.ip_forward")]
    Invalid(String, &'static str),
}

impl Key {
    /// Reads a key as people write it: with dots, with slashes, with `/proc/sys/` before it.
    ///
    /// The first separator decides: in `net.ipv4.conf.eth0/100.rp_filter` the slash is the
    /// interface's dot (`sysctl_normalize` in systemd, `slashdot` in procps).
    ///
    /// # Errors
    /// If it names no file below `/proc/sys`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let invalid = |why| Err(KeyError::Invalid(text.to_owned(), why));
        let path = simplified(&swapped(text.trim().strip_prefix("/proc/sys/").unwrap_or(text.trim())));
        if path.is_empty() {
            return Err(KeyError::Empty);
        }
        if path.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=') {
            return invalid("it has a space, a control character or a = in it");
        }
        if path.split('/').any(|component| component == "..") {
            return invalid("it leads out of /proc/sys");
        }
        if is_glob(&path) {
            return invalid("it is a pattern; name one setting");
        }
        Ok(Self(path))
    }

    /// The path below `/proc/sys`.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// With dots, as `sysctl` prints it.
    pub fn dotted(&self) -> String {
        dotted(&self.0)
    }
}

/// A path as people write it: dots for slashes, slashes for dots.
pub(crate) fn dotted(path: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    path.chars().map(swap).collect()
}

/// Slashes between the components, if the first separator is a dot.
pub(crate) fn swapped(text: &str) -> String {
    match text.find(['/', '.']) {
        Some(at) if text[at..].starts_with('.') => dotted(text),
        _ => text.to_owned(),
    }
}

/// Without empty and `.` components (`path_simplify` in systemd).
pub(crate) fn simplified(path: &str) -> String {
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    components.join("/")
}

/// Whether a loader takes it for a pattern (`GLOB_CHARS` in both).
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Settings that are one: a path, and the other name the kernel has for the same number.
///
/// `ctl_forward_entry` in net/ipv4/devinet.c points at the value of `conf/all/forwarding`.
const SAME: [(&str, &str); 1] = [("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding")];

/// The other names of a setting.
pub fn aliases(key: &Key) -> Vec<Key> {
    let other = |(one, two): &(&str, &str)| match key.path() {
        path if path == *one => Some(Key((*two).to_owned())),
        path if path == *two => Some(Key((*one).to_owned())),
        _ => None,
    };
    SAME.iter().filter_map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_decides() {
        for (text, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("/proc/sys/net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
            ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
            ("/net/ipv4//ip_forward/", "net/ipv4/ip_forward"),
            ("kernel.hostname", "kernel/hostname"),
        ] {
            assert_eq!(Key::parse(text).unwrap().path(), path, "{text}");
        }
        let key = Key::parse("net/ipv4/conf/eth0.100/rp_filter").unwrap();
        assert_eq!(key.dotted(), "net.ipv4.conf.eth0/100.rp_filter");
        assert_eq!(Key::parse(&key.dotted()).unwrap(), key);
    }

    #[test]
    fn what_names_no_setting_is_refused_with_the_reason() {
        assert_eq!(Key::parse(" . "), Err(KeyError::Empty));
        for text in ["net/../../etc/passwd", "net.ipv4.ip_forward=1", "net ipv4", "net.ipv4.conf.*.rp_filter"]
        {
            let error = Key::parse(text).unwrap_err().to_string();
            assert!(error.contains("no setting's name"), "{error}");
        }
    }

    #[test]
    fn forwarding_has_two_names() {
        let names = aliases(&Key::parse("net.ipv4.ip_forward").unwrap());
        assert_eq!(names[0].path(), "net/ipv4/conf/all/forwarding");
        assert_eq!(aliases(&names[0])[0].path(), "net/ipv4/ip_forward");
        assert!(aliases(&Key::parse("net.ipv6.conf.all.forwarding").unwrap()).is_empty());
    }
}
