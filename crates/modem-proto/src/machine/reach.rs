//! A call that is up and leads nowhere: the packet session in the network died without a word, or
//! the stick stopped forwarding. PPP cannot tell, because its peer is the stick itself; `uplink`'s
//! probes can.

use std::time::Duration;

use sysio::Monotonic;

use super::{Action, Iccid, Machine, Plan, State, Trouble};

/// Whether anything beyond the stick is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nobody says.
    #[default]
    Unknown,
    /// Something answers.
    Alive,
    /// Nothing does, and why that is thought.
    Dead(String),
}

/// What a dead call is met with, and how long it must have been up before: a fresh call first, since
/// that is what most often helps; then what a lost registration needs; then a reset from outside.
/// A provider's outage looks the same and is cured by none of these, so each comes much later.
const STEPS: [(Duration, Remedy); 5] = [
    (Duration::from_secs(10), Remedy::Rung(Plan::Redial)),
    (Duration::from_secs(60), Remedy::Rung(Plan::Detach)),
    (Duration::from_secs(180), Remedy::Rung(Plan::Radio)),
    (Duration::from_secs(300), Remedy::Reset),
    (Duration::from_secs(1800), Remedy::Rung(Plan::Redial)),
];

/// The resetting daemon looks every second or so.
const HEARD: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Rung(Plan),
    Reset,
}

/// Calls in a row that led nowhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Nowhere {
    calls: usize,
    by: Caller,
}

/// Who made them: what was tried on one stick or SIM says nothing of another.
#[derive(Clone, Debug, Default)]
struct Caller {
    stick: Option<(String, String)>,
    imei: Option<String>,
    sim: Option<Iccid>,
}

impl Caller {
    fn of(machine: &Machine) -> Self {
        Self {
            stick: machine.chosen().map(|stick| (stick.usb_path.clone(), stick.id.clone())),
            imei: machine.identity.imei.clone(),
            sim: machine.sim().cloned(),
        }
    }

    /// Sticks do not always say their numbers; after a reset it is the same one nevertheless.
    fn is_other(&self, before: &Self) -> bool {
        fn differ<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
            a.zip(b).is_some_and(|(a, b)| a != b)
        }
        differ(self.stick.as_ref(), before.stick.as_ref())
            || differ(self.imei.as_ref(), before.imei.as_ref())
            || differ(self.sim.as_ref(), before.sim.as_ref())
    }
}

impl Machine {
    pub(super) fn on_reach(&mut self, now: Monotonic, reach: Reach) -> Vec<Action> {
        let State::Connected { since, .. } = self.state else { return Vec::new() };
        let why = match reach {
            Reach::Unknown => return Vec::new(),
            Reach::Alive => {
                self.nowhere = Nowhere::default();
                return Vec::new();
            }
            Reach::Dead(why) => why,
        };
        let by = Caller::of(self);
        if by.is_other(&self.nowhere.by) {
            self.nowhere.calls = 0;
        }
        self.nowhere.by = by;
        let (patience, remedy) = STEPS[self.nowhere.calls.min(STEPS.len() - 1)];
        if now.since(since) < patience {
            return Vec::new();
        }
        self.nowhere.calls = self.nowhere.calls.saturating_add(1);
        let detail = format!("the call is up and leads nowhere: {why}");
        self.note_loss(now, &detail);
        let plan = match remedy {
            Remedy::Rung(plan) => plan,
            Remedy::Reset => {
                self.set_stuck(now, detail.clone(), Some(now + super::ladder::HOPELESS_STANDS));
                Plan::Reopen
            }
        };
        let actions = self.fail_with(now, Trouble::CallFailed(detail), plan);
        if let (Remedy::Reset, State::Waiting { until }) = (remedy, &mut self.state) {
            // A fresh call takes the word back; who resets must have heard it first.
            *until = (*until).max(now + HEARD);
        }
        actions
    }
}
