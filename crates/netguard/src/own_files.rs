//! A person's own rules: `/data/failberry/config/rules.v4` and `rules.v6`, in the form of
//! `iptables-save`. What is wrong changes nothing and is told with file and line.

use crate::private;
use ruleset::{Family, OwnRules};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use sysio::{Root, file};

/// Where they are; `failberry config import` copies them from the card.
const DIRECTORY: &str = "/data/failberry/config";
/// Thousands of rules; more is a block list, for which there are sets.
const LIMIT: u64 = 256 * 1024;
/// For root alone.
const PRIVATE: u32 = 0o600;

/// What a file was like when it was judged: device, inode, size, time of change.
type Print = (u64, u64, u64, i64, i64);

#[derive(Debug, Default)]
struct Judged {
    /// None: the file was not there.
    print: Option<Print>,
    problem: Option<String>,
}

/// Looks at the files and remembers the verdicts.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    root: Root,
    judged: BTreeMap<Family, Judged>,
}

/// A file that is new, and its rules; none when it was taken away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) family: Family,
    pub(crate) rules: Option<OwnRules>,
    text: Vec<u8>,
    print: Option<Print>,
}

fn file_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "rules.v4",
        Family::V6 => "rules.v6",
    }
}

impl OwnFiles {
    pub(crate) fn new(root: &Root) -> Self {
        Self { root: root.clone(), judged: BTreeMap::new() }
    }

    /// For a restart of this daemon while the file is broken: rules that were in force when this daemon ended last, in this boot.
    pub(crate) fn in_force(&self) -> BTreeMap<Family, OwnRules> {
        let rules = |family| {
            let text = file::read_bounded(&self.copy(family), LIMIT).ok()?;
            Some((family, OwnRules::parse(&String::from_utf8_lossy(&text)).ok()?))
        };
        Family::BOTH.into_iter().filter_map(rules).collect()
    }

    /// Files that changed since they were judged. One that cannot be used is judged here.
    pub(crate) fn changed(&mut self) -> Vec<Candidate> {
        Family::BOTH.into_iter().filter_map(|family| self.look(family)).collect()
    }

    fn look(&mut self, family: Family) -> Option<Candidate> {
        let path = self.path(family);
        let print = match std::fs::metadata(&path) {
            Ok(data) => Some((data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.judge(family, None, Some(format!("{}: {error}", path.display())));
                return None;
            }
        };
        if self.judged.get(&family).map_or(print.is_none(), |judged| judged.print == print) {
            return None;
        }
        if print.is_none() {
            return Some(Candidate { family, rules: None, text: Vec::new(), print });
        }
        let parsed = file::read_bounded(&path, LIMIT)
            .map_err(|error| format!("{}: {error}; at most {LIMIT} bytes are read", path.display()))
            .and_then(|text| {
                let words = std::str::from_utf8(&text).map_err(|e| format!("{}: {e}", path.display()))?;
                let rules = OwnRules::parse(words).map_err(|e| format!("{} {e}", path.display()))?;
                Ok((rules, text))
            });
        match parsed {
            Ok((rules, text)) => Some(Candidate { family, rules: Some(rules), text, print }),
            Err(problem) => {
                self.judge(family, print, Some(problem));
                None
            }
        }
    }

    /// The kernel took a candidate.
    pub(crate) fn accept(&mut self, candidate: &Candidate) {
        let copy = self.copy(candidate.family);
        let kept = match candidate.rules {
            Some(_) => {
                private::make(&self.root).and_then(|()| file::write_atomic(&copy, &candidate.text, PRIVATE))
            }
            None => std::fs::remove_file(&copy)
                .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }),
        };
        if let Err(error) = kept {
            log::warn!("keep {}: {error}; a restart forgets these rules if the file breaks", copy.display());
        }
        self.judge(candidate.family, candidate.print, None);
    }

    /// `iptables-restore` refused a candidate: `error` is what it said of `input`. Whether that is the
    /// candidate's fault; if not, it is tried again.
    pub(crate) fn refuse(&mut self, candidate: &Candidate, error: &str, input: Option<&str>) -> bool {
        let Some(rules) = &candidate.rules else { return false };
        let line = input.and_then(|input| refused_line(error, input));
        let Some(line) = line.and_then(|line| rules.line_of(line)) else { return false };
        let path = self.path(candidate.family);
        self.judge(
            candidate.family,
            candidate.print,
            Some(format!("{} line {line}: {error}", path.display())),
        );
        true
    }

    pub(crate) fn problems(&self) -> Vec<&str> {
        self.judged.values().filter_map(|judged| judged.problem.as_deref()).collect()
    }

    fn judge(&mut self, family: Family, print: Option<Print>, problem: Option<String>) {
        let before = self.judged.insert(family, Judged { print, problem: problem.clone() });
        if let Some(problem) = problem
            && before.is_none_or(|before| before.problem.as_ref() != Some(&problem))
        {
            log::error!("{problem}; the rules before stay in force");
        }
    }

    fn path(&self, family: Family) -> PathBuf {
        self.root.path(DIRECTORY).join(file_name(family))
    }

    fn copy(&self, family: Family) -> PathBuf {
        private::path(&self.root, file_name(family))
    }
}

/// The line of the input that the error is about: `Error occurred at line: 4` when it was read, `line 4:
/// RULE_APPEND failed` when the kernel refused (both 1.8.11).
fn refused_line<'a>(error: &str, input: &'a str) -> Option<&'a str> {
    let numbers = error.split("line").skip(1).filter_map(|rest| {
        let digits = rest.trim_start_matches([' ', ':']);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse::<usize>().ok()
    });
    numbers.last().and_then(|number| input.lines().nth(number.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GOOD: &str = "*filter\n-A INPUT -s 203.0.113.7 -j ACCEPT\nCOMMIT\n";

    fn files() -> (tempfile::TempDir, OwnFiles) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        fs::create_dir_all(root.path(DIRECTORY)).unwrap();
        let files = OwnFiles::new(&root);
        (dir, files)
    }

    #[test]
    fn a_file_is_a_candidate_once_and_its_rules_survive_a_restart_and_a_broken_edit() {
        let (_dir, mut files) = files();
        assert_eq!(files.changed(), []);
        fs::write(files.path(Family::V4), GOOD).unwrap();
        let candidates = files.changed();
        assert_eq!(candidates.len(), 1);
        files.accept(&candidates[0]);
        assert_eq!(files.changed(), []);
        fs::write(files.path(Family::V4), "*filter\n\n-A INPUT -s\n-X\nCOMMIT\n").unwrap();
        assert_eq!(files.changed(), []);
        let problem = files.problems()[0].to_owned();
        assert!(
            problem.ends_with(
                "rules.v4 line 4: `-X` is not understood: rules are written as -A CHAIN …, in their order"
            ),
            "{problem}"
        );
        let restarted = OwnFiles::new(&files.root);
        assert_eq!(restarted.in_force().get(&Family::V4), candidates[0].rules.as_ref());
        // Taken away: so are the rules.
        fs::remove_file(files.path(Family::V4)).unwrap();
        let gone = files.changed();
        assert_eq!(gone[0].rules, None);
        files.accept(&gone[0]);
        assert!(files.in_force().is_empty() && files.problems().is_empty());
    }

    #[test]
    fn a_refusal_is_led_back_to_the_line_of_the_file() {
        let (_dir, mut files) = files();
        fs::write(files.path(Family::V6), "# one\n*filter\n-A INPUT -j NOWHERE\nCOMMIT\n").unwrap();
        let candidate = files.changed().pop().unwrap();
        let input = "*filter\n:FB-MY-INPUT - [0:0]\n-A FB-INPUT -j DROP\n-A FB-MY-INPUT -j NOWHERE\nCOMMIT\n";
        // The fault of another line is not the file's.
        assert!(!files.refuse(&candidate, "line 3: RULE_APPEND failed", Some(input)));
        assert_eq!(files.changed().len(), 1);
        assert!(files.refuse(
            &candidate,
            "iptables-restore v1.8.11: \nline 4: RULE_APPEND failed",
            Some(input)
        ));
        assert!(files.problems()[0].contains("rules.v6 line 3: "), "{:?}", files.problems());
        assert_eq!(files.changed(), []);
    }
}
