//! How much the line loses, counted over packets that are sent once: echoes and questions of names.

use std::collections::VecDeque;
use std::time::Duration;

use sysio::Monotonic;

use crate::pace::{LOSS_NEEDS, LOSS_SUSTAINED, LOSSES_SPREAD};
use crate::track::percent;

#[derive(Debug, Clone, Copy)]
struct Shot {
    id: u64,
    at: Monotonic,
    track: usize,
    lost: bool,
}

/// The last shots, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    shots: VecDeque<Shot>,
}

/// More than any window holds at the pace of a pulse.
const REMEMBERED: usize = 512;

impl Loss {
    /// The probe `id` ended.
    pub(crate) fn add(&mut self, id: u64, at: Monotonic, track: usize, lost: bool) {
        if self.shots.len() == REMEMBERED {
            self.shots.pop_front();
        }
        self.shots.push_back(Shot { id, at, track, lost });
    }

    /// The probe `id` was answered late.
    pub(crate) fn redeem(&mut self, id: u64) {
        if let Some(shot) = self.shots.iter_mut().rev().find(|shot| shot.id == id) {
            shot.lost = false;
        }
    }

    /// A target that died or came back: what was lost with it is explained by that.
    pub(crate) fn forget(&mut self, track: usize) {
        self.shots.retain(|shot| shot.track != track);
    }

    pub(crate) fn clear(&mut self) {
        self.shots.clear();
    }

    pub(crate) fn forget_before(&mut self, moment: Monotonic) {
        while self.shots.front().is_some_and(|shot| shot.at < moment) {
            self.shots.pop_front();
        }
    }

    /// Loss in percent over shots that `counts` says yes to, by target and time; none while it is too
    /// little to tell. What was lost within a moment is an event, whatever share of the window it is.
    pub(crate) fn percent(&self, now: Monotonic, counts: impl Fn(usize, Monotonic) -> bool) -> Option<f64> {
        let counted = || self.shots.iter().filter(|shot| counts(shot.track, shot.at));
        let spanned: Duration = now.since(counted().next()?.at);
        let total = counted().count();
        if total < LOSS_NEEDS || spanned < LOSS_SUSTAINED {
            return None;
        }
        let lost = || counted().filter(|shot| shot.lost);
        let ends = lost().next().zip(lost().next_back());
        let sustained = ends.is_some_and(|(first, last)| last.at.since(first.at) >= LOSSES_SPREAD);
        Some(percent(if sustained { lost().count() } else { 0 }, total))
    }
}
