//! The dialer's machine: what to do next, from what happened and what time it is.
//!
//! ```text
//!                                            ┌─ rung 2 ─┐
//! absent ─▶ mode-switching ─▶ probing ─▶ initialising ─▶ registering ─▶ dialling ─▶ connected
//!    ▲            any loss      ▲  ▲          │ SIM        │    ▲          │           │
//!    └──────────of the stick    │  └──blocked◀┘            ▼    │ wanted   ▼           │
//!                               │                         standby     (any failure)    │
//!                               └─────────────── waiting ◀─────────────┴───────────────┘
//!                                  rung 1, 2 or 3 next (ladder)
//! ```
//!
//! Every state has a deadline, so nothing latches: after trouble comes [`State::Waiting`], after
//! that the port is opened and everything is asked anew. What needs a person ([`State::Blocked`])
//! is looked at again, too, but a PIN is never sent again to a SIM that has not accepted it. What
//! no rung of the dialer cures is said in [`Machine::stuck`], and the trying goes on.

mod apn;
mod attach;
mod call;
mod demand;
mod iccid;
mod ladder;
mod pace;
mod pin;
mod probe;
mod reach;
mod reattach;
mod recovery;
mod register;
mod script;
mod session;
mod settings;
mod sim;
mod stick;
mod trouble;
mod types;

use sysio::Monotonic;

use crate::codec::Response;
use crate::command::Command;

pub use apn::Apn;
pub use iccid::Iccid;
pub use ladder::{Plan, Stuck};
pub use pin::{Pin, Spent};
pub use reach::Reach;
pub use recovery::{Recovery, Step};
pub use stick::{Bus, Form, Port, Stick};
pub use trouble::{PinRefusal, Trouble};
pub use types::{
    Action, Dial, Event, Identity, Link, LinkKind, Network, Oddities, PdpType, SessionEnd, Settings, Wired,
};

use apn::Lookup;
use attach::Avoided;
use demand::Demand;
use ladder::Ladder;
use pin::PinMemory;
use reach::Nowhere;
use sim::Missing;

/// Where the machine stands. Each variant carries the moment it acts by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No stick on the bus.
    Absent {
        /// When it left, or when the machine started.
        since: Monotonic,
        /// When to look again.
        until: Monotonic,
    },
    /// It shows its CD-ROM; udev and `usb_modeswitch` are at work.
    ModeSwitching {
        /// When to switch it ourselves.
        switch_at: Monotonic,
        /// When to look again.
        until: Monotonic,
    },
    /// Looking for the port that answers.
    Probing {
        /// Which of the candidate ports is being asked.
        candidate: usize,
        /// How often it was asked.
        tries: u8,
        /// Whether it is still being opened.
        opening: bool,
        /// How long to wait for its answer.
        until: Monotonic,
    },
    /// Setting the modem up and asking who it is.
    Initialising {
        /// Which command of the script is pending.
        step: usize,
        /// How long to wait for its answer.
        until: Monotonic,
    },
    /// Asking the SIM.
    Sim {
        /// What was asked.
        phase: sim::Phase,
        /// How long to wait for the answer, or when to ask again.
        until: Monotonic,
        /// When to stop asking.
        give_up: Monotonic,
    },
    /// A person has to do something about the SIM.
    Blocked {
        /// When to look again.
        until: Monotonic,
    },
    /// Rung 2: leaving the network and joining it again.
    Reattaching {
        /// What is under way.
        phase: reattach::Phase,
        /// How long that may take.
        until: Monotonic,
    },
    /// Waiting for the network.
    Registering {
        /// What was asked.
        phase: register::Phase,
        /// How long to wait for the answer, or when to ask again.
        until: Monotonic,
        /// When to start over.
        give_up: Monotonic,
    },
    /// Calling, then negotiating PPP.
    Dialling {
        /// What is under way.
        phase: call::Phase,
        /// How long that may take.
        until: Monotonic,
    },
    /// Ready, and down on purpose: no call is wanted.
    Standby {
        /// When to ask for network and signal again.
        until: Monotonic,
    },
    /// The link is up.
    Connected {
        /// The link.
        link: Link,
        /// Since when.
        since: Monotonic,
        /// When to look at the bus again.
        until: Monotonic,
    },
    /// Until the next try.
    Waiting {
        /// When that is.
        until: Monotonic,
    },
    /// Until the old PPP session is gone.
    Ending {
        /// If the link was lost rather than ended on request: since when it had been up.
        lost: Option<Monotonic>,
        /// When to go on even if it is not.
        until: Monotonic,
    },
}

/// The dialer.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    state: State,
    bus: Bus,
    /// The USB path of the stick in use.
    chosen: Option<String>,
    /// The port that answers, by name.
    port: Option<Port>,
    /// Whether pppd runs.
    session: bool,
    /// Failures since a call last held.
    attempt: u32,
    trouble: Option<Trouble>,
    identity: Identity,
    network: Network,
    pin: PinMemory,
    /// What is known of a SIM the stick says is not there.
    missing: Missing,
    /// Whether the stick answered since it was plugged in.
    answered: bool,
    /// When it was.
    appeared: Monotonic,
    /// Why the last port of this round could not be used.
    port_error: Option<String>,
    /// How often it was asked for its IMEI in vain.
    imei_asked: u8,
    /// Whether it said that its radio is off.
    radio_off: bool,
    lookup: Lookup,
    avoided: Vec<Avoided>,
    demand: Demand,
    /// Calls that were up and led nowhere.
    nowhere: Nowhere,
    ladder: Ladder,
    /// What the next try does, and what the present one does.
    plan: Option<Plan>,
    rung: Option<Plan>,
    stuck: Option<Stuck>,
    recovery: Option<Recovery>,
    /// Randomness of the current step, in percent.
    jitter: u8,
}

impl Machine {
    /// A machine that has seen nothing yet.
    pub fn new(settings: Settings, now: Monotonic) -> Self {
        Self {
            pin: PinMemory::new(settings.pins_spent.clone()),
            settings,
            state: State::Absent { since: now, until: now },
            bus: Bus::default(),
            chosen: None,
            port: None,
            session: false,
            attempt: 0,
            trouble: None,
            identity: Identity::default(),
            network: Network::default(),
            missing: Missing::default(),
            answered: false,
            appeared: now,
            port_error: None,
            imei_asked: 0,
            radio_off: false,
            lookup: Lookup::NotYet,
            avoided: Vec::new(),
            demand: Demand::new(now),
            nowhere: Nowhere::default(),
            ladder: Ladder::default(),
            plan: None,
            rung: None,
            stuck: None,
            recovery: None,
            jitter: 0,
        }
    }

    /// Takes one event. `jitter` (0 to 100) spreads waits, so that a street of appliances does not
    /// redial in step after the cell they share comes back.
    pub fn step(&mut self, now: Monotonic, jitter: u8, event: Event) -> Vec<Action> {
        self.jitter = jitter.min(100);
        self.stuck = self.stuck.take().filter(|stuck| stuck.until.is_none_or(|until| now < until));
        match event {
            Event::Tick if now >= self.next_deadline() => self.on_deadline(now),
            Event::Tick => Vec::new(),
            Event::Bus(bus) => self.on_bus(now, bus),
            Event::Opened(result) => self.on_opened(now, result),
            Event::Answer(response) => self.on_answer(now, &response),
            Event::Unsolicited(line) => self.on_unsolicited(now, &line),
            Event::PortLost(reason) => self.on_port_lost(now, reason),
            Event::PinNotRecorded => self.on_pin_not_recorded(now),
            Event::SessionUp(link) => self.on_session_up(now, link),
            Event::LinkDown => self.on_link_down(now),
            Event::SessionEnded(end) => self.on_session_ended(now, &end),
            Event::SecondPortSilent => self.on_second_port_silent(now),
            Event::Measured(network) => self.on_measured(now, network),
            Event::AccessPoint(apn) => self.on_access_point(now, apn),
            Event::Wired(wired) => self.on_wired(now, wired),
            Event::Reach(reach) => self.on_reach(now, reach),
            Event::Redial => self.on_redial(now),
            Event::Dial => self.on_asked(now, true),
            Event::HangUp => self.on_asked(now, false),
            Event::ForgetPin => self.on_forget_pin(now),
            Event::Reconfigured { settings, fresh_call } => self.on_settings(now, settings, fresh_call),
        }
    }

    /// When to call [`Machine::step`] with [`Event::Tick`] if nothing else happens.
    pub fn next_deadline(&self) -> Monotonic {
        match self.state {
            State::Absent { until, .. }
            | State::ModeSwitching { until, .. }
            | State::Probing { until, .. }
            | State::Initialising { until, .. }
            | State::Sim { until, .. }
            | State::Blocked { until }
            | State::Reattaching { until, .. }
            | State::Registering { until, .. }
            | State::Standby { until }
            | State::Dialling { until, .. }
            | State::Connected { until, .. }
            | State::Waiting { until }
            | State::Ending { until, .. } => until,
        }
    }

    /// The state's name in the snapshot.
    pub fn name(&self) -> &'static str {
        match self.state {
            State::Absent { .. } => "absent",
            State::ModeSwitching { .. } => "mode-switching",
            State::Probing { .. } => "probing",
            State::Initialising { .. } | State::Sim { .. } | State::Reattaching { .. } => "initialising",
            State::Blocked { .. } => "blocked",
            State::Registering { .. } => "registering",
            State::Dialling { .. } => "dialling",
            State::Standby { .. } => "standby",
            State::Connected { .. } => "connected",
            State::Waiting { .. } | State::Ending { .. } => "waiting",
        }
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Every stick on the bus.
    pub fn sticks(&self) -> &[Stick] {
        &self.bus.sticks
    }

    /// The stick in use, in whatever form it is.
    pub fn chosen(&self) -> Option<&Stick> {
        let path = self.chosen.as_ref()?;
        self.bus.sticks.iter().find(|stick| stick.usb_path == *path)
    }

    /// The stick in use, once it is more than a CD-ROM.
    pub fn modem(&self) -> Option<&Stick> {
        self.chosen().filter(|stick| stick.form != Form::CdRom)
    }

    /// What the stick says it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The port that answers.
    pub fn port(&self) -> Option<&Port> {
        self.port.as_ref()
    }

    /// What is known to be odd about the stick in use.
    fn oddities(&self) -> Option<&Oddities> {
        self.settings.oddities.get(&self.chosen()?.id)
    }

    /// What is known of the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Failures since a call last held.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether, and why, the stick needs a reset from outside.
    pub fn stuck(&self) -> Option<&Stuck> {
        self.stuck.as_ref()
    }

    /// What was done since the link was lost, or the last time it was.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    /// The number of the SIM that was asked for it.
    pub fn sim(&self) -> Option<&Iccid> {
        self.pin.sim()
    }

    /// What stands between the user and the link, if anything is known to.
    pub fn trouble(&self, now: Monotonic) -> Option<Trouble> {
        match self.state {
            State::Absent { since, .. } => {
                (now.since(since) >= pace::ABSENCE_NOTICED).then(|| self.absence())
            }
            State::Standby { .. } | State::Connected { .. } => None,
            _ => self.trouble.clone(),
        }
    }

    /// What to do before the process ends.
    pub fn stop(&self) -> Vec<Action> {
        if self.session { vec![Action::EndSession] } else { vec![Action::Close] }
    }

    fn on_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        match self.state {
            State::Absent { .. } | State::ModeSwitching { .. } => self.look_again(now),
            State::Probing { .. } => self.no_probe_answer(now),
            State::Initialising { .. } => self.no_answer(now),
            State::Sim { .. } => self.on_sim_deadline(now),
            State::Reattaching { phase, .. } => self.on_reattach_deadline(now, phase),
            State::Registering { .. } => self.on_registering_deadline(now),
            State::Dialling { .. } => self.on_dialling_deadline(now),
            State::Standby { .. } => self.on_standby_deadline(now),
            State::Connected { ref mut until, .. } => {
                *until = now + pace::LOOK_WHILE_CONNECTED;
                let mut actions = vec![Action::Scan];
                actions.extend(self.judge_demand(now));
                actions
            }
            State::Ending { .. } => self.on_ending_deadline(now),
            State::Blocked { .. } | State::Waiting { .. } => self.begin(now),
        }
    }

    fn on_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        match self.state {
            State::Probing { opening: false, .. } if self.port.is_some() => {
                self.on_probe_answer(now, response)
            }
            State::Initialising { step, .. } => self.on_script_answer(now, step, response),
            State::Sim { phase, give_up, .. } => self.on_sim_answer(now, phase, give_up, response),
            State::Reattaching { phase, .. } => self.on_reattach_answer(now, phase, response),
            State::Registering { phase, give_up, .. } => {
                self.on_registering_answer(now, phase, give_up, response)
            }
            State::Dialling { .. } => self.on_dialling_answer(now, response),
            _ => Vec::new(),
        }
    }

    fn on_port_lost(&mut self, now: Monotonic, reason: String) -> Vec<Action> {
        match self.state {
            State::Probing { .. }
            | State::Initialising { .. }
            | State::Sim { .. }
            | State::Reattaching { .. }
            | State::Registering { .. }
            | State::Standby { .. } => self.fail(now, Trouble::NoAnswer(reason)),
            // While PPP runs, pppd is the one to tell.
            State::Dialling { .. } if !self.session => self.fail(now, Trouble::NoAnswer(reason)),
            _ => Vec::new(),
        }
    }

    /// Nothing came back for the pending command: the port is closed, and later asked anew.
    fn no_answer(&mut self, now: Monotonic) -> Vec<Action> {
        self.fail(now, Trouble::NoAnswer("no answer to a command in time".to_owned()))
    }

    /// Lets go of session and port.
    fn release(&mut self) -> Vec<Action> {
        if self.session { vec![Action::EndSession, Action::Close] } else { vec![Action::Close] }
    }
}

fn send(command: Command) -> Vec<Action> {
    vec![Action::Send(command)]
}
