//! What the targets together say of the line: counted by operators, kind by kind.
//!
//! An operator whose targets fail counts once, and one alone never counts: a majority is at least two.

use crate::pace::Sort;
use crate::track::{Failure, Life, Track};
use crate::words;
use crate::{Family, Part, State};

/// A state and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) state: State,
    pub(crate) reason: String,
}

impl Finding {
    fn partial(part: Part, reason: String) -> Self {
        Self { state: State::Partial(part), reason }
    }
}

/// Operators of some targets: how many there are, and those none of whose targets is alive.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    pub(crate) alive: Vec<&'a str>,
    pub(crate) dead: Vec<&'a str>,
}

impl<'a> Tally<'a> {
    pub(crate) fn of(tracks: impl Iterator<Item = &'a Track> + Clone) -> Self {
        let mut tally = Self::default();
        for track in tracks.clone().filter(|t| t.life == Life::Alive) {
            add(&mut tally.alive, &track.target.operator);
        }
        for track in tracks.filter(|t| t.life == Life::Dead) {
            if !tally.alive.contains(&track.target.operator.as_str()) {
                add(&mut tally.dead, &track.target.operator);
            }
        }
        tally
    }

    pub(crate) fn total(&self) -> usize {
        self.alive.len() + self.dead.len()
    }

    /// More than half of the operators, and more than one.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.len() >= 2 && 2 * self.dead.len() > self.total()
    }
}

fn add<'a>(names: &mut Vec<&'a str>, name: &'a str) {
    if !names.contains(&name) {
        names.push(name);
    }
}

/// Says what the targets say. Those not asked yet have no voice.
pub(crate) fn classify(tracks: &[Track]) -> Finding {
    let known = || tracks.iter().filter(|t| t.life != Life::Unknown);
    if known().next().is_none() {
        return Finding { state: State::Unknown, reason: "nothing has answered or failed yet".to_owned() };
    }
    if known().all(Track::is_nameless) {
        return Finding::partial(Part::Dns, words::NAMELESS.to_owned());
    }
    if known().all(|t| t.life == Life::Dead) {
        return portal(tracks).unwrap_or_else(|| Finding { state: State::Down, reason: words::down(tracks) });
    }
    regions(tracks)
        .or_else(|| family(tracks, Family::V4, Part::Ipv4))
        .or_else(|| portal(tracks))
        .or_else(|| web(tracks))
        .or_else(|| names(tracks))
        .or_else(|| secure(tracks))
        .or_else(|| connections(tracks))
        .or_else(|| family(tracks, Family::V6, Part::Ipv6))
        .unwrap_or_else(|| Finding { state: State::Up, reason: words::up(&of_sort(tracks, Sort::Echo)) })
}

/// Targets of a kind that were asked. A target without an address says nothing of its kind.
fn asked(tracks: &[Track], sort: Sort) -> impl Iterator<Item = &Track> + Clone {
    tracks.iter().filter(move |t| t.sort == sort && !t.is_nameless() && t.life != Life::Unknown)
}

fn of_sort(tracks: &[Track], sort: Sort) -> Tally<'_> {
    Tally::of(asked(tracks, sort))
}

/// Some operators are reached by no kind, others by every kind.
fn regions(tracks: &[Track]) -> Option<Finding> {
    let used: Vec<Sort> = Sort::ALL.into_iter().filter(|sort| of_sort(tracks, *sort).total() >= 2).collect();
    let dead: Vec<Sort> = used.iter().copied().filter(|sort| of_sort(tracks, *sort).is_dead()).collect();
    // Kinds that have operators on both sides; the operators of another may all be on the far side.
    let divided: Vec<Sort> =
        dead.into_iter().filter(|sort| !of_sort(tracks, *sort).alive.is_empty()).collect();
    let echoes = !used.contains(&Sort::Echo) || divided.contains(&Sort::Echo);
    let everywhere = divided.len() >= 2.min(used.len()) && !divided.is_empty() && echoes;
    // What is lost in one family alone is the family's, not a region's.
    let whole =
        family(tracks, Family::V4, Part::Ipv4).or_else(|| family(tracks, Family::V6, Part::Ipv6)).is_some();
    if everywhere && !whole {
        let reached = Tally::of(tracks.iter().filter(|t| !t.is_nameless()));
        if reached.dead.len() >= 2 {
            return Some(Finding::partial(Part::Regions, words::regions(&reached)));
        }
    }
    region(tracks)
}

/// All operators of a named region are silent, those of no other are.
fn region(tracks: &[Track]) -> Option<Finding> {
    let within = |region: &str| {
        let region = region.to_owned();
        Tally::of(
            tracks
                .iter()
                .filter(move |t| !t.is_nameless() && t.target.region.as_deref() == Some(&*region))
                .collect::<Vec<_>>()
                .into_iter(),
        )
    };
    let mut names: Vec<&str> = tracks.iter().filter_map(|t| t.target.region.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let lost: Vec<&str> = names
        .into_iter()
        .filter(|name| {
            let tally = within(name);
            tally.alive.is_empty() && tally.dead.len() >= 2
        })
        .collect();
    (!lost.is_empty()).then(|| Finding::partial(Part::Regions, words::lost_regions(&lost)))
}

/// In every kind the family's targets are dead.
fn dead_family(tracks: &[Track], family: Family) -> Option<Tally<'_>> {
    let of = |sort| Tally::of(asked(tracks, sort).filter(move |t| t.target.family == family));
    let kinds: Vec<Tally> = Sort::ALL.into_iter().map(of).filter(|tally| tally.total() > 0).collect();
    let dead = kinds.iter().any(Tally::is_dead) && kinds.iter().all(|t| t.alive.is_empty() || t.is_dead());
    // A single operator that answers by this family disproves nothing; two do.
    dead.then(|| {
        Tally::of(
            tracks
                .iter()
                .filter(|t| t.target.family == family && !t.is_nameless())
                .collect::<Vec<_>>()
                .into_iter(),
        )
    })
    .filter(Tally::is_dead)
}

/// The family does not work while the other does.
fn family(tracks: &[Track], family: Family, part: Part) -> Option<Finding> {
    let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
    let lost = dead_family(tracks, family)?;
    let works = tracks.iter().any(|t| t.target.family == other && t.life == Life::Alive);
    (works && dead_family(tracks, other).is_none())
        .then(|| Finding::partial(part, words::family(family, &lost)))
}

/// Somebody else answers for web servers.
fn portal(tracks: &[Track]) -> Option<Finding> {
    let pages = of_sort(tracks, Sort::Http);
    let wrong = Tally::of(
        asked(tracks, Sort::Http).filter(|t| t.life == Life::Alive || matches!(t.failure, Failure::Wrong(_))),
    );
    let most = 2 * wrong.dead.len() > pages.dead.len();
    (pages.is_dead() && wrong.dead.len() >= 2 && most)
        .then(|| Finding::partial(Part::Portal, words::portal(tracks, &pages, &wrong)))
}

fn web(tracks: &[Track]) -> Option<Finding> {
    let pages = of_sort(tracks, Sort::Http);
    let names = of_sort(tracks, Sort::Dns);
    pages.is_dead().then(|| Finding::partial(Part::Http, words::web(tracks, &pages, names.is_dead())))
}

/// Resolvers are silent, or the names of targets are not resolved.
fn names(tracks: &[Track]) -> Option<Finding> {
    let resolvers = of_sort(tracks, Sort::Dns);
    if resolvers.is_dead() {
        return Some(Finding::partial(Part::Dns, words::names(tracks, &resolvers)));
    }
    let named = tracks.iter().filter(|t| t.target.address.is_none() && t.life != Life::Unknown);
    let nameless = Tally {
        alive: Tally::of(named.clone().filter(|t| !t.is_nameless())).into_all(),
        dead: Tally::of(named.filter(|t| t.is_nameless())).dead,
    };
    nameless.is_dead().then(|| Finding::partial(Part::Dns, words::unresolved(&nameless)))
}

impl<'a> Tally<'a> {
    fn into_all(mut self) -> Vec<&'a str> {
        self.alive.append(&mut self.dead);
        self.alive
    }
}

fn secure(tracks: &[Track]) -> Option<Finding> {
    let tally = of_sort(tracks, Sort::Tls);
    tally.is_dead().then(|| Finding::partial(Part::Tls, words::secure(tracks, &tally)))
}

fn connections(tracks: &[Track]) -> Option<Finding> {
    let tally = of_sort(tracks, Sort::Tcp);
    tally.is_dead().then(|| Finding::partial(Part::Http, words::connections(tracks, &tally)))
}

/// Enough answers for a line of which nothing bad is known: of every kind and family in use, more
/// operators than not.
pub(crate) fn is_good(tracks: &[Track], within: impl Fn(&Track) -> bool) -> bool {
    let scope: Vec<&Track> = tracks.iter().filter(|t| within(t) && !t.is_nameless()).collect();
    let most_answer = |members: Vec<&Track>| {
        let mut operators = Vec::new();
        for track in &members {
            add(&mut operators, &track.target.operator);
        }
        let alive = Tally::of(members.into_iter()).alive.len();
        operators.is_empty() || 2 * alive > operators.len()
    };
    let kinds = Sort::ALL
        .into_iter()
        .all(|sort| most_answer(scope.iter().copied().filter(|t| t.sort == sort).collect()));
    let families = [Family::V4, Family::V6]
        .into_iter()
        .all(|f| most_answer(scope.iter().copied().filter(|t| t.target.family == f).collect()));
    kinds && families && scope.iter().any(|t| t.life == Life::Alive)
}
