//! Reasons for people.

use crate::Family;
use crate::classify::Tally;
use crate::pace::Sort;
use crate::track::{Failure, Life, Track};

pub(crate) const NO_LINK: &str = "it has no address and no way out";
pub(crate) const NO_TARGETS: &str =
    "no targets are configured; name some in [uplink] targets, or remove the key for the usual ones";
pub(crate) const FRESH: &str = "it is being looked at";
pub(crate) const NAMELESS: &str =
    "no target's name is resolved; a target with a literal address, as in `icmp 9.9.9.9`, would tell more";

/// Operators named one by one; beyond that a number says more.
const NAMED: usize = 3;

fn list(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [only] => (*only).to_owned(),
        [most @ .., last] if names.len() <= NAMED => format!("{} and {last}", most.join(", ")),
        _ => format!("{} operators", names.len()),
    }
}

fn kind(sort: Sort) -> &'static str {
    match sort {
        Sort::Echo => "echoes",
        Sort::Dns => "questions of names",
        Sort::Tcp => "connections",
        Sort::Tls => "TLS",
        Sort::Http => "web requests",
    }
}

/// What those say that do not just keep silent; the word of most.
fn complaint<'a>(tracks: impl Iterator<Item = &'a Track>) -> Option<&'a str> {
    let said: Vec<&str> = tracks
        .filter(|t| t.life == Life::Dead)
        .filter_map(|t| match &t.failure {
            Failure::Refused(why) | Failure::Wrong(why) => Some(why.as_str()),
            Failure::Silent | Failure::Nameless => None,
        })
        .collect();
    said.iter().max_by_key(|why| said.iter().filter(|other| other == why).count()).copied()
}

fn how(tracks: &[Track], sort: Sort) -> String {
    complaint(tracks.iter().filter(|t| t.sort == sort)).map_or_else(|| "silent".to_owned(), str::to_owned)
}

pub(crate) fn down(tracks: &[Track]) -> String {
    let all = Tally::of(tracks.iter());
    let kinds: Vec<&str> =
        Sort::ALL.into_iter().filter(|s| tracks.iter().any(|t| t.sort == *s)).map(kind).collect();
    let who = match all.total() {
        0 | 1 => format!("{} does not answer", list(&all.dead)),
        n => format!("none of {n} operators answers"),
    };
    let said =
        complaint(tracks.iter()).map(|why| format!("; on the way somebody says: {why}")).unwrap_or_default();
    format!("{who} {}{said}", or(&kinds))
}

fn or(words: &[&str]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => words.concat(),
    }
}

pub(crate) fn asymmetric(packets: u64) -> String {
    format!("; {packets} packets came in meanwhile: what we send is lost, what is sent to us is not")
}

pub(crate) fn up(echoes: &Tally) -> String {
    if echoes.is_dead() && echoes.alive.is_empty() {
        "echoes are not answered, all else is".to_owned()
    } else {
        String::new()
    }
}

pub(crate) fn lossy(percent: f64, seconds: u64) -> String {
    format!("{percent:.0} % of probes were lost in the last {seconds} s")
}

pub(crate) fn regions(tally: &Tally) -> String {
    format!(
        "{} of {} operators are not reached by anything, {} answers: no transit to part of the internet",
        tally.dead.len(),
        tally.total(),
        list(&tally.alive)
    )
}

pub(crate) fn lost_regions(lost: &[&str]) -> String {
    format!("no operator in {} is reached, others are: no transit there", lost.join(", "))
}

pub(crate) fn family(family: Family, tally: &Tally) -> String {
    let (lost, other) = if family == Family::V4 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
    format!("{lost} does not work ({} of {} operators silent), {other} does", tally.dead.len(), tally.total())
}

pub(crate) fn portal(tracks: &[Track], pages: &Tally, wrong: &Tally) -> String {
    format!(
        "web pages of {} of {} operators come back wrong ({}): a login or payment page",
        wrong.dead.len(),
        pages.total(),
        how(tracks, Sort::Http)
    )
}

pub(crate) fn web(tracks: &[Track], pages: &Tally, no_names: bool) -> String {
    let rest = if no_names {
        "and names are not resolved"
    } else {
        "other things work: a spent quota, or a broken proxy"
    };
    format!(
        "web pages of {} of {} operators do not come ({}); {rest}",
        pages.dead.len(),
        pages.total(),
        how(tracks, Sort::Http)
    )
}

pub(crate) fn names(tracks: &[Track], resolvers: &Tally) -> String {
    format!(
        "names are not resolved ({}: {}), addresses answer",
        list(&resolvers.dead),
        how(tracks, Sort::Dns)
    )
}

pub(crate) fn unresolved(nameless: &Tally) -> String {
    format!(
        "the names of {} of {} operators are not resolved, addresses answer",
        nameless.dead.len(),
        nameless.total()
    )
}

pub(crate) fn secure(tracks: &[Track], tally: &Tally) -> String {
    format!(
        "TLS of {} of {} operators gets no answer ({}), other things work",
        tally.dead.len(),
        tally.total(),
        how(tracks, Sort::Tls)
    )
}

pub(crate) fn connections(tracks: &[Track], tally: &Tally) -> String {
    format!(
        "connections to {} of {} operators do not open ({}), other things work",
        tally.dead.len(),
        tally.total(),
        how(tracks, Sort::Tcp)
    )
}

pub(crate) fn blind(why: &str) -> String {
    format!("probes cannot be sent: {why}")
}
