//! The owner's configuration as pages: an address, a line, how it should be.

use std::error::Error as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use config::{Config, DnsLink, PageLine};

/// Over a metered line no page is asked for more often, unless the owner says so: each request is a
/// handshake with its certificates, paid for by the byte, and `uplink` watches the line already.
const METERED: Duration = Duration::from_secs(900);

/// A page and how it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it is. It may hold a secret.
    pub url: String,
    /// The same as it may be shown.
    pub shown: String,
    /// By which line.
    pub line: DnsLink,
    /// Time between requests.
    pub every: Duration,
    /// The same over a metered line.
    pub metered: Duration,
    /// Statuses that are well.
    pub expect: RangeInclusive<u16>,
    /// What the beginning of the page must contain.
    pub word: Option<String>,
}

impl Page {
    /// Whether certificates matter, and with them the date.
    pub fn needs_clock(&self) -> bool {
        self.url.starts_with("https:")
    }
}

/// The word of a line in snapshots.
pub fn line_word(line: DnsLink) -> &'static str {
    match line {
        DnsLink::Active => "active",
        DnsLink::Wired => "wired",
        DnsLink::Cellular => "cellular",
    }
}

/// The pages of a configuration slice; none when there is none.
pub fn load(slice: &Path) -> Vec<Page> {
    let config = config::load(slice).unwrap_or_else(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        log::warn!("{error}{cause}; going on without pages");
        Config::default()
    });
    pages(&config)
}

/// The pages of a whole configuration.
pub fn pages(config: &Config) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    for target in &config.prober.targets {
        let lines = match target.line {
            PageLine::One(line) => vec![line],
            PageLine::Both => vec![DnsLink::Wired, DnsLink::Cellular],
        };
        let every = Duration::from_secs(target.every.into());
        for line in lines {
            let shown = unique(shown(target.url.as_str()), line, &pages);
            pages.push(Page {
                url: target.url.as_str().to_owned(),
                shown,
                line,
                every,
                metered: target
                    .metered
                    .map_or(every.max(METERED), |seconds| Duration::from_secs(seconds.into())),
                expect: target.expect.clone(),
                word: target.word.clone(),
            });
        }
    }
    pages
}

/// An address without what may be secret: name and password, query and fragment.
pub fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{host}{path}")
}

/// Two pages that look alike are told apart: charts and graphs know them by this.
fn unique(shown: String, line: DnsLink, known: &[Page]) -> String {
    let taken = |text: &str| known.iter().any(|page| page.shown == text && page.line == line);
    if !taken(&shown) {
        return shown;
    }
    (2..=known.len() + 2).map(|n| format!("{shown} ({n})")).find(|text| !taken(text)).unwrap_or(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(targets: &str) -> Vec<Page> {
        let text = format!("[prober]\ntargets = [{targets}]\n");
        pages(&config::parse(text.as_bytes()).unwrap_or_else(|p| panic!("{p:?}")))
    }

    #[test]
    fn both_lines_are_two_pages_and_metered_is_rare_unless_said() {
        let pages = read(r#""https://a.example/ line=both", "http://b.example/ every=3600 metered=30""#);
        let lines: Vec<_> = pages.iter().map(|page| line_word(page.line)).collect();
        assert_eq!(lines, ["wired", "cellular", "active"]);
        assert_eq!((pages[0].every.as_secs(), pages[0].metered), (60, METERED));
        assert_eq!((pages[2].every.as_secs(), pages[2].metered.as_secs()), (3600, 30));
        assert!(pages[0].needs_clock() && !pages[2].needs_clock());
        assert_eq!(read(r#""https://a.example/ every=3600""#)[0].metered.as_secs(), 3600);
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (url, expected) in [
            ("https://a.example/x?token=geheim#geheim", "https://a.example/x"),
            ("https://me:geheim@a.example:81/x@y", "https://a.example:81/x@y"),
            ("http://a.example?geheim", "http://a.example"),
            ("geheim@a.example", "a.example"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn pages_that_look_alike_have_names_of_their_own() {
        let pages =
            read(r#""https://a.example/?a", "https://a.example/?b", "https://a.example/ line=wired""#);
        let shown: Vec<_> = pages.iter().map(|page| page.shown.as_str()).collect();
        assert_eq!(shown, ["https://a.example/", "https://a.example/ (2)", "https://a.example/"]);
    }
}
