//! One file, line by line, as each loader reads it.

use super::Loader;
use super::key::{is_glob, simplified, swapped};

/// Longer lines end systemd's reading of the file (`LONG_LINE_MAX` in src/basic/fileio.h).
const SYSTEMD_LINE: usize = 1 << 20;

/// What one line says to a loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From 1.
    pub(crate) line: u32,
    /// The key as it was written.
    pub(crate) written: String,
    /// With slashes, as the loader compares it with others.
    pub(crate) path: String,
    /// None: the key is excluded from patterns.
    pub(crate) value: Option<String>,
}

impl Entry {
    pub(crate) fn is_glob(&self) -> bool {
        is_glob(&self.path)
    }
}

/// Everything the loader takes from a file.
pub(crate) fn entries(loader: Loader, content: &[u8]) -> Vec<Entry> {
    match loader {
        Loader::Systemd => systemd_lines(content).0.into_iter().filter_map(systemd_entry).collect(),
        Loader::Procps => procps_lines(content).filter_map(procps_entry).collect(),
    }
}

/// Lines as systemd has them, and the number of one that is too long: there it stops.
///
/// Carriage return, line feed and NUL end a line, each at most once per end.
pub(crate) fn systemd_lines(content: &[u8]) -> (Vec<(u32, String)>, Option<u32>) {
    let (mut lines, mut rest, mut number) = (Vec::new(), content, 0);
    while !rest.is_empty() {
        number += 1;
        let length = rest.iter().position(|b| matches!(b, b'\n' | b'\r' | 0)).unwrap_or(rest.len());
        if length >= SYSTEMD_LINE {
            return (lines, Some(number));
        }
        lines.push((number, String::from_utf8_lossy(&rest[..length]).into_owned()));
        rest = &rest[length + end_of_line(&rest[length..])..];
    }
    (lines, None)
}

/// The width of a line's end: different marks in a row are one, and nothing follows a NUL.
fn end_of_line(rest: &[u8]) -> usize {
    let mut width = 0;
    while let Some(mark) = rest.get(width).filter(|b| matches!(b, b'\n' | b'\r' | 0)) {
        if rest[..width].contains(mark) || rest[..width].contains(&0) {
            break;
        }
        width += 1;
    }
    width
}

fn systemd_entry((line, text): (u32, String)) -> Option<Entry> {
    /// `WHITESPACE` in systemd's src/fundamental/string-util-fundamental.h.
    const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
    let text = text.trim_matches(SPACE);
    if text.is_empty() || text.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key.strip_prefix('-').unwrap_or(key), Some(value.trim_matches(SPACE))),
        None => (text.strip_prefix('-')?, None),
    };
    let key = key.trim_matches(SPACE);
    let path = simplified(&swapped(key));
    Some(Entry { line, written: key.to_owned(), path, value: value.map(str::to_owned) })
}

/// Lines as procps has them: up to a line feed, and cut at a NUL.
pub(crate) fn procps_lines(content: &[u8]) -> impl Iterator<Item = (u32, String)> {
    let cut = |line: &[u8]| {
        let end = line.iter().position(|b| *b == 0).unwrap_or(line.len());
        String::from_utf8_lossy(&line[..end]).into_owned()
    };
    (1..).zip(content.split_inclusive(|b| *b == b'\n').map(cut))
}

/// `isspace` of the C locale.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn procps_entry((line, text): (u32, String)) -> Option<Entry> {
    let text = text.trim_start_matches(is_space);
    if text.len() < 2 || text.starts_with(['#', ';']) {
        return None;
    }
    // The key keeps a space behind its `-`: such a line names nothing.
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key.strip_prefix('-').unwrap_or(key), Some(value.trim_matches(is_space))),
        None => (text.strip_prefix('-')?, None),
    };
    let key = key.trim_end_matches(is_space);
    // A second `-` is taken off the path (`setting_new`).
    let path = swapped(key.strip_prefix('-').unwrap_or(key));
    Some(Entry { line, written: key.to_owned(), path, value: value.map(str::to_owned) })
}

/// The file below `/proc/sys` that the loader would open for this path; none if it would refuse.
pub(crate) fn opened(loader: Loader, path: &str) -> Option<String> {
    match loader {
        // `path_is_normalized` in `sysctl_write`.
        Loader::Systemd => (!path.split('/').any(|part| part == "..")).then(|| path.to_owned()),
        // The kernel walks it; a slash at the end of a file's name is an error.
        Loader::Procps => {
            let mut parts: Vec<&str> = Vec::new();
            for part in path.split('/') {
                match part {
                    "" | "." => {}
                    ".." => drop(parts.pop()?),
                    name => parts.push(name),
                }
            }
            (!path.ends_with('/')).then(|| parts.join("/"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(loader: Loader, content: &str) -> Vec<(u32, String, Option<String>)> {
        entries(loader, content.as_bytes()).into_iter().map(|e| (e.line, e.path, e.value)).collect()
    }

    fn set(line: u32, path: &str, value: &str) -> (u32, String, Option<String>) {
        (line, path.to_owned(), Some(value.to_owned()))
    }

    #[test]
    fn comments_spaces_and_a_missing_final_line_feed_are_no_matter() {
        let text = "# a\n; b\n\n  net.ipv4.ip_forward\t=  1  \n-kernel.x = 2\nbanana\nvm/swappiness=7";
        let want =
            [set(4, "net/ipv4/ip_forward", "1"), set(5, "kernel/x", "2"), set(7, "vm/swappiness", "7")];
        for loader in Loader::BOTH {
            assert_eq!(keys(loader, text), want, "{loader:?}");
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_for_systemd_only() {
        let (one, two) = (set(1, "a/b", "1"), set(2, "a/b", "0"));
        assert_eq!(keys(Loader::Systemd, "a.b=1\r\na.b=0\r\n"), [one.clone(), two.clone()]);
        assert_eq!(keys(Loader::Procps, "a.b=1\r\na.b=0\r\n"), [one.clone(), two.clone()]);
        assert_eq!(keys(Loader::Systemd, "a.b=1\ra.b=0\n"), [one.clone(), two.clone()]);
        assert_eq!(keys(Loader::Procps, "a.b=1\ra.b=0\n"), [set(1, "a/b", "1\ra.b=0")]);
        assert_eq!(keys(Loader::Systemd, "a.b=1\0a.b=0\n"), [one.clone(), two]);
        assert_eq!(keys(Loader::Procps, "a.b=1\0a.b=0\n"), [one]);
    }

    #[test]
    fn a_minus_alone_excludes_and_a_space_behind_it_is_procps_s_undoing() {
        assert_eq!(keys(Loader::Systemd, "-a.b\n"), [(1, "a/b".to_owned(), None)]);
        assert_eq!(keys(Loader::Systemd, "- a.b = 1\n"), [set(1, "a/b", "1")]);
        assert_eq!(keys(Loader::Procps, "- a.b = 1\n"), [set(1, " a/b", "1")]);
        assert_eq!(keys(Loader::Systemd, "--a.b = 1\n"), [set(1, "-a/b", "1")]);
        assert_eq!(keys(Loader::Procps, "--a.b = 1\n"), [set(1, "a/b", "1")]);
    }

    #[test]
    fn a_line_of_a_mebibyte_ends_systemd_s_reading() {
        let text = format!("a.b=1\n#{}\na.b=0\n", "x".repeat(SYSTEMD_LINE));
        assert_eq!(keys(Loader::Systemd, &text), [set(1, "a/b", "1")]);
        assert_eq!(keys(Loader::Procps, &text).len(), 2);
        assert_eq!(systemd_lines(text.as_bytes()).1, Some(2));
    }

    #[test]
    fn odd_paths_open_what_the_kernel_makes_of_them() {
        assert_eq!(opened(Loader::Procps, "/net//ipv4/./x/../ip_forward").unwrap(), "net/ipv4/ip_forward");
        assert_eq!(opened(Loader::Procps, "net/ipv4/ip_forward/"), None);
        assert_eq!(opened(Loader::Procps, "../x"), None);
        assert_eq!(opened(Loader::Systemd, "net/../net/x"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(content in prop::collection::vec(any::<u8>(), 0..400)) {
            for loader in Loader::BOTH {
                let found = entries(loader, &content);
                prop_assert!(found.len() <= content.len());
                prop_assert!(found.windows(2).all(|pair| pair[0].line < pair[1].line));
            }
        }
    }
}
