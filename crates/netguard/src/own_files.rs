//! A person's own rules: `/data/failberry/config/rules.v4` and `rules.v6`, in the form of
//! `iptables-save`. What is wrong changes nothing and is told with file and line.

use crate::private;
use ruleset::{Family, OwnRules};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;
use sysio::{Monotonic, Root, file};

/// Where they are; `failberry config import` copies them from the card.
const DIRECTORY: &str = "/data/failberry/config";
/// Thousands of rules; more is a block list, for which there are sets.
const LIMIT: u64 = 256 * 1024;
/// What the kernel refused is tried again after this: a try that fails half way is taken back, and is felt.
const AGAIN: Duration = Duration::from_secs(600);
/// For root alone.
const PRIVATE: u32 = 0o600;

/// What a file was like when it was judged: device, inode, size, time of change.
type Print = (u64, u64, u64, i64, i64);

#[derive(Debug, Default)]
struct Judged {
    /// None: the file was not there.
    print: Option<Print>,
    problem: Option<String>,
    /// When it is tried again although it has not changed: what the kernel refuses it may take later.
    again: Option<Monotonic>,
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
    pub(crate) fn changed(&mut self, now: Monotonic) -> Vec<Candidate> {
        Family::BOTH.into_iter().filter_map(|family| self.look(now, family)).collect()
    }

    fn look(&mut self, now: Monotonic, family: Family) -> Option<Candidate> {
        let path = self.path(family);
        let print = match std::fs::metadata(&path) {
            Ok(data) => Some((data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.judge(family, None, Some(format!("{}: {error}", path.display())));
                return None;
            }
        };
        let known = |judged: &Judged| judged.print == print && judged.again.is_none_or(|again| now < again);
        if self.judged.get(&family).map_or(print.is_none(), known) {
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

    /// A candidate could not be loaded: `error` is what `iptables-restore` said of `input`. It is the
    /// candidate's fault if a line of it is named, or if all was `well` without it; else it is tried again.
    pub(crate) fn refuse(
        &mut self,
        now: Monotonic,
        candidate: &Candidate,
        error: &str,
        input: Option<&str>,
        well: bool,
    ) {
        let Some(rules) = &candidate.rules else { return };
        let line = input.and_then(|input| refused_line(error, input)).and_then(|line| rules.line_of(line));
        let path = self.path(candidate.family);
        let problem = match line {
            Some(line) => format!("{} line {line}: {error}", path.display()),
            None if well => format!("{}: {error}", path.display()),
            None => return,
        };
        self.judge(candidate.family, candidate.print, Some(problem));
        if let Some(judged) = self.judged.get_mut(&candidate.family) {
            judged.again = Some(now + AGAIN);
        }
    }

    pub(crate) fn problems(&self) -> Vec<&str> {
        self.judged.values().filter_map(|judged| judged.problem.as_deref()).collect()
    }

    fn judge(&mut self, family: Family, print: Option<Print>, problem: Option<String>) {
        let before = self.judged.insert(family, Judged { print, problem: problem.clone(), again: None });
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

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

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
        assert_eq!(files.changed(at(1)), []);
        fs::write(files.path(Family::V4), GOOD).unwrap();
        let candidates = files.changed(at(1));
        assert_eq!(candidates.len(), 1);
        files.accept(&candidates[0]);
        assert_eq!(files.changed(at(1)), []);
        fs::write(files.path(Family::V4), "*filter\n\n-A INPUT -s\n-X\nCOMMIT\n").unwrap();
        assert_eq!(files.changed(at(1)), []);
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
        let gone = files.changed(at(1));
        assert_eq!(gone[0].rules, None);
        files.accept(&gone[0]);
        assert!(files.in_force().is_empty() && files.problems().is_empty());
    }

    #[test]
    fn a_refusal_is_led_back_to_the_line_of_the_file() {
        let (_dir, mut files) = files();
        fs::write(files.path(Family::V6), "# one\n*filter\n-A INPUT -j NOWHERE\nCOMMIT\n").unwrap();
        let candidate = files.changed(at(1)).pop().unwrap();
        let input = "*filter\n:FB-MY-INPUT - [0:0]\n-A FB-INPUT -j DROP\n-A FB-MY-INPUT -j NOWHERE\nCOMMIT\n";
        // The fault of another line is not the file's.
        files.refuse(at(1), &candidate, "line 3: RULE_APPEND failed", Some(input), false);
        assert_eq!(files.changed(at(1)).len(), 1);
        let said = "iptables-restore v1.8.11: \nline 4: RULE_APPEND failed";
        files.refuse(at(1), &candidate, said, Some(input), false);
        assert!(files.problems()[0].contains("rules.v6 line 3: "), "{:?}", files.problems());
        assert_eq!(files.changed(at(1)), []);
        // Perhaps a module is there by then.
        assert_eq!(files.changed(at(1) + AGAIN).len(), 1);
        // The legacy flavour names the line of COMMIT: without other trouble, it is the file's.
        files.refuse(at(1), &candidate, "line 5 failed", Some(input), true);
        assert!(files.problems()[0].ends_with("rules.v6: line 5 failed"), "{:?}", files.problems());
    }
}
