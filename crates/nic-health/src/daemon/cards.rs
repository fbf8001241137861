//! The daemon's half that watches cards: counters in, questions and rungs out, and what must outlive
//! the process.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use sysio::{Monotonic, Root, file};

use super::{ASK, NOTE, NicHealth};
use crate::entry::Key;
use crate::hands;
use crate::prober::Purpose;
use crate::stall::{self, Past, Sample};

/// Devices that are asked whether a card receives.
const WITNESSES: usize = 3;
/// Who was there so long ago still is.
const THERE: Duration = Duration::from_secs(10 * 60);
const PAST: &str = "stalls.json";
const LARGEST_PAST: u64 = 64 * 1024;
const PRIVATE: u32 = 0o600;

impl NicHealth {
    pub(super) fn samples(&self, now: Monotonic) -> Vec<Sample> {
        let cards = self.network.cards.values().filter(|card| card.up);
        cards
            .map(|card| Sample {
                name: card.name.clone(),
                carrier: card.carrier,
                received: card.received,
                sent: card.sent,
                askable: !self.witnesses(now, card.index).is_empty(),
            })
            .collect()
    }

    /// Who on a card may be asked: the gateways and peers, and whoever was there a short time ago.
    fn witnesses(&self, now: Monotonic, link: u32) -> Vec<Key> {
        let watched = self.neighbours.watched().iter().filter(|key| key.link == link).copied();
        let first = Key { link, address: IpAddr::from([0, 0, 0, 0]) };
        let entries = self.neighbours.entries().range(first..).take_while(|(key, _)| key.link == link);
        let known = entries.filter(|(_, entry)| entry.confirmed_within(now, THERE)).map(|(key, _)| *key);
        let mut keys: Vec<Key> = watched.take(WITNESSES).collect();
        keys.extend(known.take(WITNESSES - keys.len()));
        keys
    }

    pub(super) fn do_stalls(&mut self, now: Monotonic, actions: Vec<stall::Action>) {
        // What is about to be done is noted first: a kill must not give it back.
        self.save_past();
        let mut work = actions;
        while let Some(action) = work.pop() {
            self.revision += 1;
            match action {
                stall::Action::Ask(name) => {
                    let Some(link) = self.network.index(&name) else { continue };
                    for key in self.witnesses(now, link) {
                        if let Err(error) = self.ask(now, Purpose::Reception, key) {
                            self.trouble(ASK, error);
                        }
                    }
                }
                stall::Action::Apply(name, rung) => {
                    let card =
                        self.network.index(&name).and_then(|link| self.network.cards.get(&link)).cloned();
                    let outcome = match card {
                        Some(card) => self.hands.apply(&mut self.kernel, &card, rung),
                        None => stall::Outcome::Failed("the card is gone".to_owned()),
                    };
                    log::warn!("{name} receives nothing: {}: {outcome:?}", rung.as_str());
                    work.extend(self.stalls.step(now, stall::Event::Done(name, rung, outcome)));
                    self.save_past();
                }
            }
        }
    }

    fn save_past(&mut self) {
        let past = self.stalls.past();
        if past == self.past {
            return;
        }
        let path = self.root.path(hands::DIRECTORY).join(PAST);
        let text = serde_json::to_vec(&past).unwrap_or_default();
        match file::write_atomic(&path, &text, PRIVATE) {
            Ok(()) => {
                self.past = past;
                self.right(NOTE);
            }
            Err(error) => self.trouble(NOTE, format!("write {}: {error}", path.display())),
        }
    }
}

pub(super) fn read_past(root: &Root) -> BTreeMap<String, Past> {
    let path = root.path(hands::DIRECTORY).join(PAST);
    let read = file::read_bounded(&path, LARGEST_PAST).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    read.unwrap_or_else(|error: io::Error| {
        if error.kind() != io::ErrorKind::NotFound {
            log::warn!("read {}: {error}; earlier stalls are forgotten", path.display());
        }
        BTreeMap::new()
    })
}
