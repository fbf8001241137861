//! What is wrong with the files that set, or were meant to set, one setting.

use super::key::{aliases, dotted, is_glob};
use super::lines::{Entry, entries, systemd_lines};
use super::number::same_value;
use super::suggest::nearest;
use super::{Content, File, Files, Folder, Key, Loader, Outcome};

/// The kinds of defect. [`Problem::id`] is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The next run of a loader sets something else than is wanted.
    WouldUndo,
    /// The loaders end with different values.
    LoadersDisagree,
    /// A key the kernel does not have, near this one.
    Typo,
    /// A line that no loader takes.
    NoAssignment,
    /// A value the kernel refuses.
    Refused,
    /// The file does not end with a line feed.
    NoFinalLineFeed,
    /// A mark of the text's encoding makes the first key unknown.
    ByteOrderMark,
    /// What looks like a comment is part of the value.
    CommentInValue,
    /// A line so long that systemd stops there.
    LongLine,
    /// A file of the same name in a stronger folder is read instead.
    Shadowed,
    /// Its name keeps a loader from reading it.
    NotRead,
    /// It cannot be read by us, so the answer may be wrong.
    Unreadable,
    /// An exclusion that is a pattern: it excludes nothing.
    PatternExclusion,
}

impl Problem {
    /// Its name in JSON.
    pub const fn id(self) -> &'static str {
        match self {
            Self::WouldUndo => "would-undo",
            Self::LoadersDisagree => "loaders-disagree",
            Self::Typo => "typo",
            Self::NoAssignment => "no-assignment",
            Self::Refused => "refused",
            Self::NoFinalLineFeed => "no-final-line-feed",
            Self::ByteOrderMark => "byte-order-mark",
            Self::CommentInValue => "comment-in-value",
            Self::LongLine => "long-line",
            Self::Shadowed => "shadowed",
            Self::NotRead => "not-read",
            Self::Unreadable => "unreadable",
            Self::PatternExclusion => "pattern-exclusion",
        }
    }
}

/// One defect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defect {
    /// What kind.
    pub problem: Problem,
    /// The file's path; empty if it is about all of them.
    pub file: String,
    /// From 1.
    pub line: Option<u32>,
    /// What it means and what to do.
    pub words: String,
}

/// Everything that is wrong around `key`.
///
/// `live` is what it reads now, `wanted` what it should read, `known` the paths of all settings the
/// kernel has, `loaders` those that this host has.
pub fn defects(
    files: &Files,
    key: &Key,
    live: Option<&str>,
    wanted: Option<&str>,
    known: &[String],
    loaders: &[Loader],
) -> Vec<Defect> {
    let mut names = aliases(key);
    names.push(key.clone());
    let mut found = Vec::new();
    for file in &files.0 {
        let entries = entries(Loader::Systemd, file.bytes());
        let of_key: Vec<&Entry> = entries.iter().filter(|entry| names_key(entry, &names)).collect();
        spelling(file, &entries, &names, known, &mut found);
        if !of_key.is_empty() {
            whole_file(files, file, &of_key, &mut found);
        }
        if let Content::Unreadable(why) = &file.content {
            found.push(at(
                Problem::Unreadable,
                file,
                None,
                format!("it cannot be read ({why}), so this may be wrong; try as root"),
            ));
        }
    }
    outcomes(files, key, live, wanted, loaders, &mut found);
    found.sort();
    found.dedup();
    found
}

fn at(problem: Problem, file: &File, line: Option<u32>, words: impl Into<String>) -> Defect {
    Defect { problem, file: file.path(), line, words: words.into() }
}

fn names_key(entry: &Entry, names: &[Key]) -> bool {
    let hit = |name: &Key| {
        if is_glob(&entry.path) {
            super::glob::matches(&entry.path, name.path())
        } else {
            entry.path == name.path()
        }
    };
    names.iter().any(hit)
}

/// Lines that do not say what was meant.
fn spelling(file: &File, entries: &[Entry], names: &[Key], known: &[String], found: &mut Vec<Defect>) {
    let of_ours = |path: &str| names.iter().any(|name| name.path() == path);
    for entry in entries {
        let plain = entry.path.trim_start_matches('\u{feff}');
        if plain != entry.path
            && of_ours(&super::key::simplified(&super::key::swapped(
                entry.written.trim_start_matches('\u{feff}'),
            )))
        {
            let words =
                "the file begins with a byte order mark, which makes this key unknown; save it without one";
            found.push(at(Problem::ByteOrderMark, file, Some(entry.line), words));
        } else if !entry.is_glob() && !known.is_empty() && known.binary_search(&entry.path).is_err() {
            let meant = nearest(&entry.path, known.iter().map(String::as_str));
            if let Some(meant) = meant.filter(|meant| of_ours(meant)) {
                let words = format!("the kernel has no {}; did you mean {}?", entry.written, dotted(meant));
                found.push(at(Problem::Typo, file, Some(entry.line), words));
            }
        }
    }
    for (line, text) in systemd_lines(file.bytes()).0 {
        let text = text.trim();
        let comment = text.is_empty() || text.starts_with(['#', ';', '-']) || text.contains('=');
        let first = text.split([' ', '\t', ':']).next().unwrap_or("");
        if !comment && Key::parse(first).is_ok_and(|key| of_ours(key.path())) {
            let words = format!("{text:?} sets nothing: a = is missing");
            found.push(at(Problem::NoAssignment, file, Some(line), words));
        }
    }
}

/// What concerns all of a file that names the key.
fn whole_file(files: &Files, file: &File, of_key: &[&Entry], found: &mut Vec<Defect>) {
    let bytes = file.bytes();
    if bytes.last().is_some_and(|last| *last != b'\n') {
        let words = "no line feed at its end: the next line that is appended sticks to the last one and spoils both; add one";
        found.push(at(Problem::NoFinalLineFeed, file, None, words));
    }
    if let Some(line) = systemd_lines(bytes).1 {
        let words = "longer than a mebibyte: systemd-sysctl reads nothing from here on";
        found.push(at(Problem::LongLine, file, Some(line), words));
    }
    if let Some(stronger) = files.hidden_by(file) {
        // procps 3.3 has its folders in another order (`PreloadSystem`).
        let old = if file.folder == Folder::Run { " (not so by procps 3.3, which prefers /run)" } else { "" };
        let words = format!("has no effect: {} has the same name and is read instead{old}", stronger.path());
        found.push(at(Problem::Shadowed, file, None, words));
    } else if file.folder != Folder::Main && !file.is_conf() {
        found.push(at(Problem::NotRead, file, None, "has no effect: its name does not end with .conf"));
    } else if file.name.starts_with('.') {
        found.push(at(
            Problem::NotRead,
            file,
            None,
            "systemd-sysctl passes over hidden files, sysctl --system does not; rename it",
        ));
    }
    for entry in of_key {
        match &entry.value {
            None if entry.is_glob() => {
                let words = "systemd-sysctl excludes nothing by a pattern, nor does procps 4.0.4 (later ones do); name the keys";
                found.push(at(Problem::PatternExclusion, file, Some(entry.line), words));
            }
            Some(value) if value.contains(['#', ';']) => {
                let words =
                    "what follows the value is no comment but part of it; put it on a line of its own";
                found.push(at(Problem::CommentInValue, file, Some(entry.line), words));
            }
            _ => {}
        }
    }
}

/// What the loaders would make of it.
fn outcomes(
    files: &Files,
    key: &Key,
    live: Option<&str>,
    wanted: Option<&str>,
    loaders: &[Loader],
    found: &mut Vec<Defect>,
) {
    let outcomes: Vec<(Loader, Outcome)> =
        loaders.iter().map(|loader| (*loader, files.outcome(*loader, key, live))).collect();
    for (loader, outcome) in &outcomes {
        for write in outcome.writes.iter().filter(|write| write.refused) {
            let words = if write.value.contains('=') {
                format!(
                    "two lines in one: a line feed is missing in {:?}, and the kernel refuses the value",
                    write.value
                )
            } else {
                format!("the kernel refuses {:?}: it wants a number", write.value)
            };
            found.push(Defect {
                problem: Problem::Refused,
                file: write.file.clone(),
                line: Some(write.line),
                words,
            });
        }
        let (Some(winner), Some(right)) = (outcome.winner(), wanted.or(live)) else { continue };
        if !same_value(&winner.value, right) {
            let words = format!(
                "{} sets it to {} instead of {right} when it runs next: {}",
                loader.name(),
                winner.value,
                loader.occasion()
            );
            found.push(Defect {
                problem: Problem::WouldUndo,
                file: winner.file.clone(),
                line: Some(winner.line),
                words,
            });
        }
    }
    let values: Vec<Option<&str>> =
        outcomes.iter().map(|(_, o)| o.winner().map(|w| w.value.as_str())).collect();
    if let [Some(one), Some(two)] = values[..]
        && !same_value(one, two)
    {
        let words = format!(
            "{} leaves {one}, {} leaves {two}: which holds depends on who ran last",
            Loader::Systemd.name(),
            Loader::Procps.name()
        );
        found.push(Defect { problem: Problem::LoadersDisagree, file: String::new(), line: None, words });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(folder: Folder, name: &str, text: &str) -> File {
        File { folder, name: name.to_owned(), content: Content::Bytes(text.as_bytes().to_vec()) }
    }

    /// What is found with 1 live and wanted, as `problem file:line`.
    fn told(files: Vec<File>) -> Vec<String> {
        let known = ["net/ipv4/conf/all/forwarding".to_owned(), "net/ipv4/ip_forward".to_owned()];
        let key = Key::parse("net.ipv4.ip_forward").unwrap();
        let found = defects(&Files(files), &key, Some("1"), Some("1"), &known, &Loader::BOTH);
        let name = |d: &Defect| d.file.rsplit('/').next().unwrap_or("").to_owned();
        let line = |d: &Defect| d.line.map(|l| format!(":{l}")).unwrap_or_default();
        found.iter().map(|d| format!("{} {}{}", d.problem.id(), name(d), line(d))).collect()
    }

    #[test]
    fn every_defect_is_told_with_its_place() {
        let etc = |name: &str, text: &str| file(Folder::Etc, name, text);
        for (text, want) in [
            ("net.ipv4.ip_forward=1", vec!["no-final-line-feed a.conf"]),
            ("net.ipv4.ip_foward=1\n", vec!["typo a.conf:1"]),
            ("\n\u{feff}net.ipv4.ip_forward=1\n", vec!["byte-order-mark a.conf:2"]),
            ("net.ipv4.ip_forward 1\n", vec!["no-assignment a.conf:1"]),
            ("net.ipv4.ip_forward: 1\n", vec!["no-assignment a.conf:1"]),
            ("net.ipv4.ip_forward=on\n", vec!["refused a.conf:1"]),
            ("net.ipv4.ip_forward=1 # on\n", vec!["comment-in-value a.conf:1"]),
            ("net.ipv4.ip_forward=1\n", vec![]),
            ("-net.ipv4.ip_f*\n", vec!["pattern-exclusion a.conf:1"]),
        ] {
            assert_eq!(told(vec![etc("a.conf", text)]), want, "{text:?}");
        }
        let shadowed = vec![etc("a.conf", ""), file(Folder::Usr, "a.conf", "net.ipv4.ip_forward=0\n")];
        assert_eq!(told(shadowed), ["shadowed a.conf"]);
        assert_eq!(told(vec![etc("a.conf.bak", "net.ipv4.ip_forward=0\n")]), ["not-read a.conf.bak"]);
        let undone = ["would-undo 99-gce.conf:1", "would-undo 99-gce.conf:1"];
        assert_eq!(told(vec![etc("99-gce.conf", "net.ipv4.ip_forward=0\n")]), undone);
    }

    #[test]
    fn two_lines_that_stuck_together_are_recognised() {
        let glued = file(Folder::Etc, "a.conf", "net.ipv4.ip_forward = 1net.ipv4.conf.all.rp_filter = 1\n");
        let key = Key::parse("net.ipv4.ip_forward").unwrap();
        let found = defects(&Files(vec![glued]), &key, Some("1"), None, &[], &Loader::BOTH);
        assert!(found[0].words.starts_with("two lines in one"), "{found:?}");
    }

    #[test]
    fn loaders_that_disagree_are_told() {
        let list = vec![
            file(Folder::Etc, "a.conf", "net.ipv4.ip_forward=1\n"),
            file(Folder::Main, "sysctl.conf", "net.ipv4.ip_forward=0\n"),
        ];
        assert_eq!(told(list), ["would-undo sysctl.conf:1", "loaders-disagree "]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let list = vec![File { folder: Folder::Etc, name: "a.conf".to_owned(), content: Content::Bytes(content) }];
            prop_assert!(told(list).len() <= 400);
        }
    }
}
