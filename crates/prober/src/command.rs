//! `prober probe URL…`, which `failberry probe` leads to: pages asked for once, by a person.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use config::DnsLink;
use lexopt::Arg;
use serde_json::{Value, json};
use sysio::{Root, clock};

use crate::ask::{Finding, Job, run};
use crate::lines::Lines;
use crate::settings::shown;

/// The word that makes this binary the command.
pub const WORD: &str = "probe";
/// Every page answered with a status below this: exit 0.
const WELL_BELOW: u16 = 400;
const OK: u8 = 0;
const SOME_FAILED: u8 = 1;
/// `EX_USAGE` and `EX_UNAVAILABLE` of sysexits.h.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
/// As many as the configuration may have.
const MOST_PAGES: usize = 16;
/// A quarter of an hour of asking is enough for a person.
const MOST_ROUNDS: u32 = 900;
/// Between two rounds: a person's look is no load test.
const PAUSE: Duration = Duration::from_secs(1);
/// Who tells of the lines.
const LINES: &str = "uplink";

const HELP: &str = "\
usage: failberry probe URL… [--line wired|cellular] [--count N] [--json]

Asks for each page once, follows nothing, and shows status, address and milliseconds by phase: name,
connection, certificate, first byte of the answer, all in all. Exit 0 if every page answered with a status
below 400, 1 if not.

  --line LINE   ask over this line, names included; root only
  --count N     N rounds, a second apart (at most 900)
  --json        one JSON object a page and round
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Help,
    Probe { urls: Vec<String>, line: Option<DnsLink>, count: u32, json: bool, root: Root },
}

/// Does it and says how it went.
pub fn main(words: &[OsString]) -> u8 {
    match parse(words) {
        Ok(Wish::Help) => {
            print!("{HELP}");
            OK
        }
        Ok(Wish::Probe { urls, line, count, json, root }) => probe(&urls, line, count, json, &root),
        Err(error) => {
            eprintln!("failberry probe: {error}; see failberry probe --help");
            USAGE
        }
    }
}

fn parse(words: &[OsString]) -> Result<Wish, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(words);
    let (mut urls, mut line, mut count, mut json, mut root) = (Vec::new(), None, 1, false, Root::system());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Wish::Help),
            // For tests and for looking into another system's files; not in the help.
            Arg::Long("root") => root = Root::at(parser.value()?),
            Arg::Long("json") => json = true,
            Arg::Long("line") => {
                line = match parser.value()?.to_str() {
                    Some("wired") => Some(DnsLink::Wired),
                    Some("cellular") => Some(DnsLink::Cellular),
                    _ => return Err("--line is wired or cellular".into()),
                }
            }
            Arg::Long("count") => {
                let number = parser.value()?.to_str().and_then(|text| text.parse().ok());
                let number = number.filter(|number| (1..=MOST_ROUNDS).contains(number));
                count = number.ok_or_else(|| format!("--count is a number from 1 to {MOST_ROUNDS}"))?;
            }
            Arg::Value(url) => urls.push(address(&url)?),
            other => return Err(other.unexpected()),
        }
    }
    match urls.len() {
        0 => Err("no page is named".into()),
        1..=MOST_PAGES => Ok(Wish::Probe { urls, line, count, json, root }),
        _ => Err(format!("more than {MOST_PAGES} pages").into()),
    }
}

/// Who writes no scheme means https.
fn address(word: &OsString) -> Result<String, lexopt::Error> {
    let word = word.to_str().filter(|word| word.bytes().all(|b| b.is_ascii_graphic()) && !word.is_empty());
    let word = word.ok_or("an address has neither blanks nor other characters than plain ASCII")?;
    match word.split_once("://") {
        None => Ok(format!("https://{word}")),
        Some(("http" | "https", _)) => Ok(word.to_owned()),
        Some(_) => Err("an address begins with https:// or http://".into()),
    }
}

fn probe(urls: &[String], line: Option<DnsLink>, count: u32, json: bool, root: &Root) -> u8 {
    let (way, servers) = match line.map(|line| lines(root).map(|lines| lines.way(line))) {
        None => (None, Vec::new()),
        Some(Ok((Some(way), servers))) => (Some(way), servers),
        Some(Ok((None, _))) => {
            eprintln!("failberry probe: there is no such line now; see failberry status");
            return UNAVAILABLE;
        }
        Some(Err(why)) => {
            eprintln!("failberry probe: {why}");
            return UNAVAILABLE;
        }
    };
    if !json {
        println!("{HEAD}");
    }
    let mut code = OK;
    for round in 0..count {
        if round > 0 {
            thread::sleep(PAUSE);
        }
        for url in urls {
            let (way, servers) = (way.clone(), servers.clone());
            let found = run(&Job { url: url.clone(), way, servers, word: None, frugal: false }, root);
            if !found.well() || found.status.is_none_or(|status| status >= WELL_BELOW) {
                code = SOME_FAILED;
            }
            if json { println!("{}", object(url, &found)) } else { print!("{}", row(url, &found)) }
        }
    }
    code
}

fn lines(root: &Root) -> Result<Lines, String> {
    let boot_id = snapshot::boot_id(root).map_err(|error| format!("read the boot id: {error}"))?;
    let read = snapshot::read(root, LINES, &boot_id, clock::now());
    let document =
        read.fresh().ok_or("uplink is silent, so no line can be chosen; without --line it works")?;
    Ok(Lines::read(document))
}

const HEAD: &str = "status      dns  connect      tls    first    total  page (times in ms)";

fn row(url: &str, found: &Finding) -> String {
    let number = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    let status = found.status.map_or("-".to_owned(), |status| status.to_string());
    let mut out = format!("{status:<6}");
    for ms in [found.dns_ms, found.connect_ms, found.tls_ms, found.first_byte_ms, found.total_ms] {
        let _ = write!(out, " {:>8}", number(ms));
    }
    let _ = write!(out, "  {}", shown(url));
    if let Some(address) = &found.address {
        let _ = write!(out, " ({address})");
    }
    if let Some(location) = &found.location {
        let _ = write!(out, " -> {location}");
    }
    if let Some(why) = &found.why {
        let _ = write!(out, "\n       {why}");
    }
    out.push('\n');
    out
}

fn object(url: &str, found: &Finding) -> Value {
    let mut object = json!({"url": shown(url)});
    if let (Value::Object(object), Ok(Value::Object(found))) = (&mut object, serde_json::to_value(found)) {
        object.extend(found);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(words: &[&str]) -> Result<Wish, String> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_understood() {
        let Wish::Probe { urls, line, count, json, .. } =
            wish(&["example.org", "--line", "cellular", "http://x/?a", "--count", "3", "--json"]).unwrap()
        else {
            panic!("a probe")
        };
        assert_eq!(urls, ["https://example.org", "http://x/?a"]);
        assert_eq!((line, count, json), (Some(DnsLink::Cellular), 3, true));
        assert_eq!(wish(&["x", "--help"]), Ok(Wish::Help));
    }

    #[test]
    fn anything_else_is_refused() {
        let many = vec!["x"; MOST_PAGES + 1];
        let wrong: &[&[&str]] = &[
            &[],
            &["ftp://x/"],
            &["a b"],
            &[""],
            &["x", "--line", "dsl"],
            &["x", "--line"],
            &["x", "--count", "0"],
            &["x", "--count", "901"],
            &["x", "--quiet"],
            &many,
        ];
        for words in wrong {
            assert!(wish(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_row_has_what_is_known_and_dashes_for_the_rest() {
        let found = Finding {
            status: Some(404),
            connect_ms: Some(12.3),
            total_ms: Some(45.6),
            address: Some("192.0.2.1:80".into()),
            ..Finding::default()
        };
        let row = row("http://x/?geheim", &found);
        assert_eq!(row, "404           -     12.3        -        -     45.6  http://x/ (192.0.2.1:80)\n");
        assert_eq!(HEAD.find("page"), row.find("http"));
        assert!(!object("http://x/?geheim", &found).to_string().contains("geheim"));
    }
}
