//! The child process: one page, one finding, the end.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysio::{Root, file};
use web::{Cause, Failure, Http, Options, Times, Visit, Way, visit};

/// The word that makes this binary the child.
pub const WORD: &str = "ask";
/// A request has 10 s of its own; a child that takes longer than this is stuck.
pub const LIMIT: Duration = Duration::from_secs(15);
/// Certificates of one's own, trusted besides the public ones.
pub const OWN_ROOTS: &str = "/data/failberry/prober/ca.pem";
/// Some dozens of certificates.
const LARGEST_ROOTS: u64 = 128 * 1024;
/// A word must be in what Route 53's checkers read, so that a page is judged as they do.
const WORD_WITHIN: u64 = 5120;
/// Of a `Location` so much is shown.
const LONGEST_LOCATION: usize = 300;

/// What the child is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Where the page is.
    pub url: String,
    /// By which line, if that matters.
    pub way: Option<Way>,
    /// That line's name servers.
    pub servers: Vec<IpAddr>,
    /// What the page must contain.
    pub word: Option<String>,
    /// Whether every byte costs: then no more is read than is judged.
    pub frugal: bool,
}

/// What came of it. Times are in milliseconds, none for a phase that was not there or not finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Whom the name led to.
    pub address: Option<String>,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Where a redirection leads, without what may be secret.
    pub location: Option<String>,
    /// The phase that failed.
    pub phase: Option<String>,
    /// Why it failed, in words.
    pub why: Option<String>,
    /// Until the name had addresses.
    pub dns_ms: Option<f64>,
    /// From then until there was a connection.
    pub connect_ms: Option<f64>,
    /// From then until the certificate was found valid.
    pub tls_ms: Option<f64>,
    /// From then until the first byte of the answer.
    pub first_byte_ms: Option<f64>,
    /// All in all.
    pub total_ms: Option<f64>,
    /// Until when the certificate is valid, in seconds since 1970.
    pub certificate_until: Option<u64>,
}

impl Finding {
    /// Nothing was found out.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { phase: Some("prober".to_owned()), why: Some(why.into()), ..Self::default() }
    }

    /// The same with a status judged that should be another.
    #[must_use]
    pub fn judged(mut self, expect: &RangeInclusive<u16>) -> Self {
        if let (Some(status), None) = (self.status, &self.why)
            && !expect.contains(&status)
        {
            let (first, last) = (expect.start(), expect.end());
            let wanted = if first == last { first.to_string() } else { format!("{first} to {last}") };
            self.phase = Some("http".to_owned());
            self.why = Some(format!("http: status {status}, expected {wanted}"));
        }
        self
    }

    /// Whether all is as it should be.
    pub fn well(&self) -> bool {
        self.why.is_none() && self.status.is_some()
    }
}

/// The child's whole life.
pub fn main(root: &Root) {
    courier::serve(|job: Result<Job, String>| match job {
        Ok(job) => run(&job, root),
        Err(why) => Finding::failed(format!("read the job: {why}")),
    });
}

/// Does it.
pub fn run(job: &Job, root: &Root) -> Finding {
    let own = file::read_bounded(&root.path(OWN_ROOTS), LARGEST_ROOTS).ok();
    let request = Http { method: "GET", url: job.url.clone(), headers: Vec::new(), body: Vec::new() };
    let agent = concat!("failberry-prober/", env!("CARGO_PKG_VERSION"));
    let usual = Options::new(agent);
    let largest = match (&job.word, job.frugal) {
        (Some(_), _) => WORD_WITHIN,
        (None, true) => 0,
        (None, false) => usual.largest,
    };
    let options =
        Options { way: job.way.as_ref(), servers: &job.servers, own_roots: own.as_deref(), largest, ..usual };
    finding(visit(&request, &options), job.word.as_deref())
}

fn finding(visit: Visit, word: Option<&str>) -> Finding {
    let Times { dns, connect, tls, first_byte, total } = visit.times;
    let mut finding = Finding {
        address: visit.address.map(|address| address.to_string()),
        dns_ms: dns.map(milliseconds),
        connect_ms: connect.map(milliseconds),
        tls_ms: tls.map(milliseconds),
        first_byte_ms: first_byte.map(milliseconds),
        total_ms: Some(milliseconds(total)),
        certificate_until: visit.certificate_until,
        ..Finding::default()
    };
    let failure = match visit.outcome {
        Err(failure) => Some(words(&failure)),
        Ok(reply) => {
            finding.status = Some(reply.status);
            finding.location = reply.location.map(|location| {
                let printable = location.chars().filter(|c| !c.is_control());
                crate::settings::shown(&printable.take(LONGEST_LOCATION).collect::<String>())
            });
            let missing = word.filter(|word| !contains(&reply.body, word.as_bytes()));
            match (reply.cut, missing) {
                (Some(cut), _) => Some(words(&cut)),
                (None, Some(_)) => Some(("http", "http: the page does not contain the word".to_owned())),
                (None, None) => None,
            }
        }
    };
    if let Some((phase, why)) = failure {
        finding.phase = Some(phase.to_owned());
        finding.why = Some(why);
    }
    finding
}

fn words(failure: &Failure) -> (&'static str, String) {
    let hint = match failure.cause {
        Cause::UnknownIssuer => format!("; put the issuer's into {OWN_ROOTS} if it is yours"),
        _ => String::new(),
    };
    (failure.phase.word(), format!("{failure}{hint}"))
}

fn contains(page: &[u8], word: &[u8]) -> bool {
    word.is_empty() || page.windows(word.len()).any(|window| window == word)
}

/// In tenths: less is noise.
fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::{Phase, Reply};

    fn seen(outcome: Result<Reply, Failure>) -> Visit {
        let times = Times { connect: Some(Duration::from_micros(12_345)), ..Times::default() };
        Visit { times, address: None, certificate_until: None, outcome }
    }

    #[test]
    fn an_error_of_http_keeps_its_status_and_times() {
        let reply = Reply { status: 503, ..Reply::default() };
        let found = finding(seen(Ok(reply)), None).judged(&(200..=399));
        assert_eq!((found.status, found.connect_ms), (Some(503), Some(12.3)));
        assert_eq!(found.why.as_deref(), Some("http: status 503, expected 200 to 399"));
        let fine = Finding { why: None, phase: None, ..found };
        assert!(fine.clone().judged(&(503..=503)).well());
        assert!(fine.judged(&(204..=204)).why.unwrap().ends_with("expected 204"));
    }

    #[test]
    fn a_word_is_looked_for_and_not_repeated() {
        let reply = Reply { status: 200, body: b"all is well".to_vec(), ..Reply::default() };
        assert!(finding(seen(Ok(reply.clone())), Some("is well")).well());
        let missing = finding(seen(Ok(reply)), Some("geheim"));
        assert!(!missing.well() && !missing.why.unwrap().contains("geheim"));
    }

    #[test]
    fn a_page_that_breaks_off_is_not_well_and_keeps_its_status() {
        let cut = Failure { phase: Phase::Http, cause: Cause::TimedOut, detail: String::new() };
        let found = finding(seen(Ok(Reply { status: 200, cut: Some(cut), ..Reply::default() })), None);
        assert_eq!((found.status, found.phase.as_deref(), found.well()), (Some(200), Some("http"), false));
    }
}
