//! Pages the appliance asks for regularly, one line each.

use super::{DnsLink, Fault, TextValue, WebUrl};
use std::ops::RangeInclusive;

/// A line of a configuration, with room for an address of the web and options.
const LONGEST: usize = 1600;
/// How often a page is asked for if nothing is said, in seconds: a graph has a point a minute.
const EVERY: u32 = 60;
/// Closer nobody's server should be asked by a machine; farther apart than a day is no watch.
const EVERY_BOUNDS: RangeInclusive<u32> = 10..=86_400;
/// Statuses that count as well if nothing is said: those that Route 53's checkers take.
const EXPECT: RangeInclusive<u16> = 200..=399;
/// A word that is looked for; a longer one is a page.
const LONGEST_WORD: usize = 200;
const HINT: &str = "write \"https://example.org/ every=60 line=active expect=200-399 match=word\"";

/// By which line a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageLine {
    /// One.
    One(DnsLink),
    /// Each by itself.
    Both,
}

/// A page and how it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageTarget {
    /// Where it is.
    pub url: WebUrl,
    /// Seconds between requests.
    pub every: u32,
    /// Seconds between requests over a metered line, where the owner says so.
    pub metered: Option<u32>,
    /// By which line.
    pub line: PageLine,
    /// Statuses that are well.
    pub expect: RangeInclusive<u16>,
    /// What the beginning of the page must contain.
    pub word: Option<String>,
    text: String,
}

impl TextValue for PageTarget {
    const FORM: &'static str = "https://example.org/ every=60 line=active";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            let cause = format!("longer than {LONGEST} characters, or with others than plain ASCII");
            return Err(Fault::new(cause, HINT));
        }
        let mut words = text.split_whitespace();
        let url = WebUrl::parse(words.next().unwrap_or_default())?;
        let mut target = Self {
            url,
            every: EVERY,
            metered: None,
            line: PageLine::One(DnsLink::Active),
            expect: EXPECT,
            word: None,
            text: text.to_owned(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for option in words {
            let pair = option.split_once('=').filter(|(_, value)| !value.is_empty());
            let (key, value) = pair.ok_or_else(|| Fault::new("a word that is no key=value", HINT))?;
            if seen.contains(&key) {
                return Err(Fault::new(format!("{key}= twice"), HINT));
            }
            seen.push(key);
            target.set(key, value)?;
        }
        Ok(target)
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

impl PageTarget {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        match key {
            "every" => self.every = seconds("every", value)?,
            "metered" => self.metered = Some(seconds("metered", value)?),
            "line" => self.line = line(value)?,
            "expect" => self.expect = statuses(value)?,
            "match" if value.len() <= LONGEST_WORD => self.word = Some(value.to_owned()),
            "match" => {
                let cause = format!("match= of more than {LONGEST_WORD} characters");
                return Err(Fault::new(cause, "a word is enough; blanks are not possible"));
            }
            _ => {
                let hint = "a page takes every=, line=, expect=, match=, metered=";
                return Err(Fault::new("an unknown option", hint));
            }
        }
        Ok(())
    }
}

fn seconds(key: &str, value: &str) -> Result<u32, Fault> {
    let (least, most) = (EVERY_BOUNDS.start(), EVERY_BOUNDS.end());
    let wrong = || Fault::new(format!("an impossible {key}="), format!("seconds from {least} to {most}"));
    value.parse().ok().filter(|seconds| EVERY_BOUNDS.contains(seconds)).ok_or_else(wrong)
}

fn line(value: &str) -> Result<PageLine, Fault> {
    match value {
        "active" => Ok(PageLine::One(DnsLink::Active)),
        "wired" => Ok(PageLine::One(DnsLink::Wired)),
        "cellular" => Ok(PageLine::One(DnsLink::Cellular)),
        "both" => Ok(PageLine::Both),
        _ => Err(Fault::new("an impossible line=", "active, wired, cellular or both")),
    }
}

/// One status or a range of them.
fn statuses(value: &str) -> Result<RangeInclusive<u16>, Fault> {
    let (first, last) = value.split_once('-').unwrap_or((value, value));
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..600).contains(code));
    let range = code(first).zip(code(last)).filter(|(first, last)| first <= last);
    let wrong = || Fault::new("an impossible expect=", "a status (100 to 599), or a range: expect=200-399");
    range.map(|(first, last)| first..=last).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_sensible_defaults() {
        let page = PageTarget::parse("https://example.org/").unwrap();
        assert_eq!((page.every, page.metered, page.expect), (60, None, 200..=399));
        assert_eq!((page.line, page.word), (PageLine::One(DnsLink::Active), None));
    }

    #[test]
    fn every_option_is_understood_and_written_back() {
        let text = "http://x.lan:81/a?b=c every=10 line=both expect=204 match=ok=1 metered=3600";
        let page = PageTarget::parse(text).unwrap();
        assert_eq!((page.every, page.metered, page.expect.clone()), (10, Some(3600), 204..=204));
        assert_eq!((page.line, page.word.as_deref()), (PageLine::Both, Some("ok=1")));
        assert_eq!(page.text(), text);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_repeated() {
        for bad in [
            "",
            "example.org",
            "ftp://x/",
            "https://me:geheim@x.example/",
            "https://x/?geheim every",
            "https://x/?geheim every=9",
            "https://x/?geheim every=86401",
            "https://x/?geheim every=60 every=60",
            "https://x/?geheim line=dsl",
            "https://x/?geheim expect=399-200",
            "https://x/?geheim expect=99",
            "https://x/?geheim match=",
            "https://x/?geheim token=geheim",
            "https://x/ä",
        ] {
            let Err(fault) = PageTarget::parse(bad) else { panic!("{bad}") };
            assert!(!format!("{fault:?}").contains("geheim"), "{fault:?}");
        }
        let long = format!("https://x/ match={}", "w".repeat(LONGEST_WORD + 1));
        assert!(PageTarget::parse(&long).is_err());
    }
}
