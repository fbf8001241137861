//! The dialer's machine: what to do next, from what happened and what time it is.
//!
//! ```text
//! absent ─▶ mode-switching ─▶ probing ─▶ initialising ─▶ registering ─▶ dialling ─▶ connected
//!    ▲            any loss      ▲  ▲          │ SIM                          │           │
//!    └──────────of the stick    │  └──blocked◀┘                              ▼           │
//!                               └─────────────────────────────────────────waiting◀───────┘
//! ```
//!
//! Every state has a deadline, so nothing latches: after trouble comes [`State::Waiting`], after
//! that the port is opened and everything is asked anew. What needs a person ([`State::Blocked`])
//! is looked at again, too, but a PIN is never sent again unless the SIM has accepted it before.

mod attach;
mod call;
mod pace;
mod pin;
mod register;
mod sim;
mod types;

use sysio::Monotonic;

use crate::codec::Response;
use crate::command::Command;

pub use pin::Pin;
pub use types::{
    Action, Bus, Event, Form, Identity, Link, Network, PinRefusal, Port, SessionEnd, Settings, Stick, Trouble,
};

use pin::PinMemory;

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
    /// Randomness of the current step, in percent.
    jitter: u8,
}

impl Machine {
    /// A machine that has seen nothing yet.
    pub fn new(settings: Settings, now: Monotonic) -> Self {
        let pin = if settings.pin_refused_before { PinMemory::Refused } else { PinMemory::Untried };
        Self {
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
            pin,
            jitter: 0,
        }
    }

    /// Takes one event. `jitter` (0 to 100) spreads waits, so that a street of appliances does not
    /// redial in step after the cell they share comes back.
    pub fn step(&mut self, now: Monotonic, jitter: u8, event: Event) -> Vec<Action> {
        self.jitter = jitter.min(100);
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
            Event::SessionEnded(end) => self.on_session_ended(now, &end),
            Event::Redial => self.on_redial(now),
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
            | State::Registering { until, .. }
            | State::Dialling { until, .. }
            | State::Connected { until, .. }
            | State::Waiting { until }
            | State::Ending { until } => until,
        }
    }

    /// The state's name in the snapshot.
    pub fn name(&self) -> &'static str {
        match self.state {
            State::Absent { .. } => "absent",
            State::ModeSwitching { .. } => "mode-switching",
            State::Probing { .. } => "probing",
            State::Initialising { .. } | State::Sim { .. } => "initialising",
            State::Blocked { .. } => "blocked",
            State::Registering { .. } => "registering",
            State::Dialling { .. } => "dialling",
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

    /// What is known of the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Failures since a call last held.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What stands between the user and the link, if anything is known to.
    pub fn trouble(&self, now: Monotonic) -> Option<Trouble> {
        match self.state {
            State::Absent { since, .. } => {
                (now.since(since) >= pace::ABSENCE_NOTICED).then_some(Trouble::Absent)
            }
            State::Connected { .. } => None,
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
            State::Registering { .. } => self.on_registering_deadline(now),
            State::Dialling { .. } => self.on_dialling_deadline(now),
            State::Connected { ref mut until, .. } => {
                *until = now + pace::LOOK_WHILE_CONNECTED;
                vec![Action::Scan]
            }
            State::Blocked { .. } | State::Waiting { .. } | State::Ending { .. } => self.begin(now),
        }
    }

    fn on_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        match self.state {
            State::Probing { .. } => self.initialise(now),
            State::Initialising { step, .. } => self.on_script_answer(now, step, response),
            State::Sim { phase, give_up, .. } => self.on_sim_answer(now, phase, give_up, response),
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
            | State::Registering { .. } => self.fail(now, Trouble::NoAnswer(reason)),
            // While PPP runs, pppd is the one to tell.
            State::Dialling { .. } if !self.session => self.fail(now, Trouble::NoAnswer(reason)),
            _ => Vec::new(),
        }
    }

    /// Nothing came back for the pending command: the port is closed, and later asked anew.
    fn no_answer(&mut self, now: Monotonic) -> Vec<Action> {
        self.fail(now, Trouble::NoAnswer("no answer to a command in time".to_owned()))
    }

    /// Gives up this try and plans the next one.
    fn fail(&mut self, now: Monotonic, trouble: Trouble) -> Vec<Action> {
        let least = pace::least_wait(&trouble);
        self.attempt = self.attempt.saturating_add(1);
        let mut wait = pace::backoff(self.attempt, self.jitter).max(least);
        if self.session {
            // pppd says goodbye first; its end cuts this short.
            wait = wait.max(pace::SESSION_END);
        }
        let look = matches!(trouble, Trouble::NoAnswer(_));
        self.trouble = Some(trouble);
        self.state = State::Waiting { until: now + wait };
        let mut actions = self.release();
        if look {
            // A port that does not answer may be a stick that is gone, and nobody told.
            actions.push(Action::Scan);
        }
        actions
    }

    /// Stops until a person has acted, or something changed by itself.
    fn block(&mut self, now: Monotonic, trouble: Trouble) -> Vec<Action> {
        self.trouble = Some(trouble);
        self.state = State::Blocked { until: now + pace::BLOCKED_RECHECK };
        self.release()
    }

    /// Lets go of session and port.
    fn release(&mut self) -> Vec<Action> {
        if self.session { vec![Action::EndSession, Action::Close] } else { vec![Action::Close] }
    }
}

fn send(command: Command) -> Vec<Action> {
    vec![Action::Send(command)]
}
