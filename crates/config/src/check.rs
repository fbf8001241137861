//! Text to [`Config`], or to every problem in it.

use crate::cross::{self, Dangling};
use crate::problem::Problem;
use crate::schema::SectionInfo;
use crate::sections::{Config, SECTIONS};
use crate::values::{Fault, described};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Bound of the file. A full configuration has some kilobytes; whatever is larger is not one.
pub const MAX_BYTES: usize = 64 * 1024;

/// An edit distance up to a third of the name is a typo; beyond, another word.
const TYPO_PART: usize = 3;

/// Parses and checks a configuration. A UTF-8 byte order mark and CRLF line ends are fine.
///
/// # Errors
/// Every problem of the file, by line.
pub fn parse(bytes: &[u8]) -> Result<Config, Vec<Problem>> {
    let text = decode(bytes).map_err(|problem| vec![problem])?;
    let lines = Lines::of(text.as_bytes());
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors.iter().map(|e| syntax_problem(e, text, &lines)).collect();
    problems.dedup_by_key(|p| p.line);

    let mut checker = Checker { lines, config: Config::default(), problems: Vec::new() };
    checker.file(table.get_ref());
    // Where a value was refused, a name may be missing only for that.
    if checker.problems.is_empty() {
        for Dangling { span, operand, cause, hint } in cross::check(&checker.config, table.get_ref()) {
            checker.report(&span, operand, cause, hint);
        }
    }
    let Checker { config, problems: found, .. } = checker;
    // Where the syntax is broken, what the parser saved is a guess: keep what is surely wrong besides.
    let broken = !problems.is_empty();
    let syntax_lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
    problems.extend(
        found.into_iter().filter(|p| !broken || (p.operand.contains('.') && !syntax_lines.contains(&p.line))),
    );
    problems.sort_by_key(|p| p.line);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    let whole = |line, cause: String, hint: &str| Problem {
        line,
        operand: String::new(),
        cause,
        hint: hint.to_owned(),
    };
    if bytes.len() > MAX_BYTES {
        let cause = format!("the file is larger than {} KiB", MAX_BYTES / 1024);
        return Err(whole(1, cause, "start again from the example file"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = Lines::of(&bytes[..e.valid_up_to()]).starts.len() + 1;
        whole(line, "not UTF-8 text".to_owned(), "save the file as UTF-8 in your editor")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn syntax_problem(error: &toml::de::Error, text: &str, lines: &Lines) -> Problem {
    let line = lines.at(error.span().unwrap_or(0..0).start);
    let curly = text.lines().nth(line - 1).is_some_and(|l| l.contains(['“', '”', '„', '‘', '’']));
    let hint = if curly {
        "replace the typographic quotes by straight ones: \""
    } else {
        "write one key a line, text in straight double quotes: key = \"value\""
    };
    let cause = error.message().lines().collect::<Vec<_>>().join(", ");
    Problem { line, operand: String::new(), cause: format!("not TOML: {cause}"), hint: hint.to_owned() }
}

struct Checker {
    lines: Lines,
    config: Config,
    problems: Vec<Problem>,
}

impl Checker {
    fn file(&mut self, file: &DeTable<'_>) {
        for (name, value) in file {
            let known = SECTIONS.iter().find(|s| s.name == name.get_ref().as_ref());
            match (known, value.get_ref()) {
                (Some(section), DeValue::Table(table)) => self.section(section, table),
                (Some(section), other) => {
                    let cause = format!("{} where a section is expected", described(other));
                    let hint = format!("write [{}] on a line of its own, its keys below it", section.name);
                    self.report(&name.span(), section.name.to_owned(), cause, hint);
                }
                (None, DeValue::Table(_)) => {
                    let (cause, hint) = ("unknown section".to_owned(), section_hint(name.get_ref()));
                    self.report(&name.span(), format!("[{}]", shown(name.get_ref())), cause, hint);
                }
                (None, _) => {
                    let (cause, hint) = ("key outside of any section".to_owned(), stray_hint(name.get_ref()));
                    self.report(&name.span(), shown(name.get_ref()), cause, hint);
                }
            }
        }
    }

    fn section(&mut self, section: &SectionInfo, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = name.get_ref().as_ref();
            let operand = format!("{}.{}", section.name, shown(key));
            match self.config.set(section.name, key, value) {
                Some(Ok(())) => {}
                Some(Err(faults)) => {
                    for Fault { span, cause, hint } in faults {
                        self.report(&span.unwrap_or_else(|| value.span()), operand.clone(), cause, hint);
                    }
                }
                None => self.report(&name.span(), operand, "unknown key".to_owned(), key_hint(section, key)),
            }
        }
    }

    fn report(&mut self, span: &Range<usize>, operand: String, cause: String, hint: String) {
        self.problems.push(Problem { line: self.lines.at(span.start), operand, cause, hint });
    }
}

/// A name out of the file, safe to print on a terminal and short.
fn shown(name: &str) -> String {
    const LONGEST: usize = 40;
    let mut out: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

fn key_hint(section: &SectionInfo, key: &str) -> String {
    let names: Vec<&str> = section.keys.iter().map(|k| k.name).collect();
    if let Some(near) = nearest(key, &names) {
        return format!("did you mean {near}?");
    }
    if let Some(home) = SECTIONS.iter().find(|s| s.keys.iter().any(|k| k.name == key)) {
        return format!("{key} belongs below [{}]", home.name);
    }
    format!("[{}] knows: {}", section.name, names.join(", "))
}

fn section_hint(name: &str) -> String {
    let names: Vec<&str> = SECTIONS.iter().map(|s| s.name).collect();
    match nearest(name, &names) {
        Some(near) => format!("did you mean [{near}]?"),
        None => format!("sections are: {}", names.join(", ")),
    }
}

fn stray_hint(key: &str) -> String {
    match SECTIONS.iter().find(|s| s.keys.iter().any(|k| k.name == key)) {
        Some(home) => format!("put it below a line [{}]", home.name),
        None => "put it below the line of its section, such as [modem]".to_owned(),
    }
}

fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // The distance takes time by the product of the lengths: a name of kilobytes is no typo.
    if name.len() > 64 {
        return None;
    }
    let wanted = name.to_lowercase().replace('_', "-");
    let bound = (wanted.chars().count() / TYPO_PART).max(1);
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, candidate), *candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Byte offset to line.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &[u8]) -> Self {
        let starts = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        Self { starts }
    }

    fn at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) + 1
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
