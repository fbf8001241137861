//! The queue: what was decided to be told stays here until every channel has accepted it.
//!
//! Pure. One try at a time; a channel that fails is tried again ever more slowly, for ever, and at
//! once when the line changes. What is too much is folded into one message, never dropped in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use sysio::Monotonic;

use crate::notice::{Channel, Message, Notice, Stamp};

/// More messages than this are folded together.
pub const MOST: usize = 64;
/// The same in bytes of JSON: the whole queue is written anew for every change.
pub const MOST_BYTES: usize = 48 * 1024;
/// Pause after the first failure; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// After a switch the new line gets so long to carry anything at all.
const AFTER_SWITCH: Duration = Duration::from_secs(2);
/// A channel that has accepted nothing for so long, with something to say, is reported.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The service took it.
    Accepted,
    /// Not this time.
    Failed {
        /// In words.
        why: String,
        /// The service asks for so many seconds.
        retry_after: Option<u64>,
    },
    /// The service does not want this message, whatever the line.
    Refused {
        /// In words.
        why: String,
    },
}

/// How a channel is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Messages it has accepted since the start.
    pub accepted: u64,
    /// Tries that failed, in a row, since the line changed.
    pub failures: u32,
    /// Since when nothing works.
    pub failing_since: Option<Monotonic>,
    /// Why not.
    pub last_error: Option<String>,
    /// Not before this.
    pub next: Monotonic,
}

impl Lane {
    /// Tries soon, and soon again: how often it failed on the old line says nothing of the new one,
    /// which may need some seconds for its names.
    fn kick(&mut self, now: Monotonic) {
        self.failures = self.failures.min(1);
        self.next = self.next.min(now + AFTER_SWITCH);
    }
}

/// The try under way.
#[derive(Debug)]
struct Flying {
    channel: Channel,
    id: String,
    /// The line has changed since it began.
    kicked: bool,
}

/// The queue.
#[derive(Debug)]
pub struct Outbox {
    messages: Vec<Message>,
    lanes: BTreeMap<Channel, Lane>,
    /// Refusals, so that one message nobody wants does not stop the others.
    refused: BTreeMap<(Channel, String), u32>,
    flying: Option<Flying>,
    instance: String,
    counter: u64,
}

impl Outbox {
    /// Goes on with what was queued. `instance`, another one in every
    /// process, makes ids that are never used twice, whatever was kept of those given before.
    pub fn new(channels: &[Channel], messages: Vec<Message>, instance: String) -> Self {
        let mut messages = messages;
        for message in &mut messages {
            message.pending.retain(|channel| channels.contains(channel));
        }
        messages.retain(|message| !message.pending.is_empty());
        let lanes = channels.iter().map(|channel| (*channel, Lane::default())).collect();
        Self { messages, lanes, refused: BTreeMap::new(), flying: None, instance, counter: 0 }
    }

    /// What waits.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How each channel is doing.
    pub fn lanes(&self) -> &BTreeMap<Channel, Lane> {
        &self.lanes
    }

    /// A new id.
    pub fn next_id(&mut self) -> String {
        self.counter += 1;
        format!("{}-{}", self.instance, self.counter)
    }

    /// Queues a notice for every channel; without a channel there is nobody to tell.
    pub fn push(&mut self, at: Stamp, notice: Notice) {
        if self.lanes.is_empty() {
            return;
        }
        let id = self.next_id();
        let pending = self.lanes.keys().copied().collect();
        self.messages.push(Message { id, at, notice, pending });
        while self.is_too_large() && self.fold() {}
    }

    fn is_too_large(&self) -> bool {
        self.messages.len() > MOST || self.bytes() > MOST_BYTES
    }

    fn bytes(&self) -> usize {
        self.messages.iter().map(|m| serde_json::to_vec(m).map_or(0, |json| json.len())).sum()
    }

    /// Makes one message of the two oldest that are not on their way; false when there are no two.
    fn fold(&mut self) -> bool {
        let flying = self.flying.as_ref().map(|flying| flying.id.clone());
        let idle = |m: &Message| Some(&m.id) != flying.as_ref();
        let Some(first) = self.messages.iter().position(idle) else { return false };
        let Some(second) = self.messages.iter().skip(first + 1).position(idle) else { return false };
        let younger = self.messages.remove(first + 1 + second);
        let older = self.messages.remove(first);
        let mut pending = older.pending;
        pending.extend(younger.pending.iter().filter(|c| !pending.contains(c)).copied().collect::<Vec<_>>());
        let ((mut items, more), (later, later_more)) =
            (older.notice.into_items(), younger.notice.into_items());
        items.extend(later);
        let more = more + later_more;
        let notice = Notice::summary(items, more, "", "These waited too long to be kept one by one.");
        let notice = Notice { title: format!("{} earlier messages in one", notice.count()), ..notice };
        let id = self.next_id();
        self.messages.insert(first, Message { id, at: older.at, notice, pending });
        true
    }

    /// The next try on a channel that may be used now, if one is due; it is under way from here on.
    pub fn take(&mut self, now: Monotonic, may: impl Fn(Channel) -> bool) -> Option<(Channel, Message)> {
        if self.flying.is_some() {
            return None;
        }
        let mut due: Vec<(Monotonic, Channel)> = self
            .lanes
            .iter()
            .filter(|(channel, lane)| lane.next <= now && may(**channel) && self.has_work(**channel))
            .map(|(channel, lane)| (lane.next, *channel))
            .collect();
        due.sort();
        let (_, channel) = *due.first()?;
        let refusals = |m: &&Message| self.refused.get(&(channel, m.id.clone())).copied().unwrap_or(0);
        let message =
            self.messages.iter().filter(|m| m.pending.contains(&channel)).min_by_key(refusals)?.clone();
        self.flying = Some(Flying { channel, id: message.id.clone(), kicked: false });
        Some((channel, message))
    }

    fn has_work(&self, channel: Channel) -> bool {
        self.messages.iter().any(|m| m.pending.contains(&channel))
    }

    /// How the try under way went. `jitter` is from 0 to 1. Whether the queue has changed.
    pub fn outcome(&mut self, now: Monotonic, outcome: Outcome, jitter: f64) -> bool {
        let Some(Flying { channel, id, kicked }) = self.flying.take() else { return false };
        let lane = self.lanes.entry(channel).or_default();
        // A service that answered was reached: then it is not the line that failed.
        let mut old_line = false;
        let (why, retry_after) = match outcome {
            Outcome::Accepted => {
                *lane = Lane { accepted: lane.accepted + 1, ..Lane::default() };
                self.refused.remove(&(channel, id.clone()));
                return self.accepted(channel, &id);
            }
            Outcome::Failed { why, retry_after } => {
                old_line = kicked && retry_after.is_none();
                (why, retry_after)
            }
            Outcome::Refused { why } => {
                *self.refused.entry((channel, id)).or_default() += 1;
                (why, None)
            }
        };
        lane.failures = lane.failures.saturating_add(1);
        lane.failing_since.get_or_insert(now);
        lane.last_error = Some(why);
        lane.next = now + pause(lane.failures, retry_after, jitter);
        if old_line {
            lane.kick(now);
        }
        false
    }

    fn accepted(&mut self, channel: Channel, id: &str) -> bool {
        for message in self.messages.iter_mut().filter(|m| m.id == id) {
            message.pending.retain(|c| *c != channel);
        }
        let gone: Vec<String> =
            self.messages.iter().filter(|m| m.pending.is_empty()).map(|m| m.id.clone()).collect();
        self.messages.retain(|m| !m.pending.is_empty());
        self.refused.retain(|(_, id), _| !gone.contains(id));
        true
    }

    /// The line has changed: what failed may work now, and so may what is being tried on the old one.
    pub fn kick(&mut self, now: Monotonic) {
        for lane in self.lanes.values_mut().filter(|lane| lane.failures > 0) {
            lane.kick(now);
        }
        if let Some(flying) = &mut self.flying {
            flying.kicked = true;
        }
    }

    /// When the next try is due on a channel that may be used now.
    pub fn next_deadline(&self, may: impl Fn(Channel) -> bool) -> Option<Monotonic> {
        if self.flying.is_some() {
            return None;
        }
        let due = self.lanes.iter().filter(|(channel, _)| may(**channel) && self.has_work(**channel));
        due.map(|(_, lane)| lane.next).min()
    }

    /// Channels that have not taken anything for [`PATIENCE`], and why not.
    pub fn undelivered(&self, now: Monotonic) -> Vec<(Channel, String)> {
        let late = |lane: &Lane| lane.failing_since.is_some_and(|since| now.since(since) >= PATIENCE);
        let lanes = self.lanes.iter().filter(|(channel, lane)| late(lane) && self.has_work(**channel));
        lanes.map(|(channel, lane)| (*channel, lane.last_error.clone().unwrap_or_default())).collect()
    }
}

/// Doubles with each failure; up to a quarter more by chance, so that many appliances do not come at
/// one moment.
fn pause(failures: u32, retry_after: Option<u64>, jitter: f64) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let asked = Duration::from_secs(retry_after.unwrap_or(0)).min(LONGEST_PAUSE);
    doubled.max(asked).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
