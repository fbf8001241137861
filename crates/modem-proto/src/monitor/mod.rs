//! The second port's machine: what to ask the stick while the call occupies the first one.
//!
//! Two things come from it. Values for people (signal, operator, technology), and the earliest sign
//! of a firmware that hangs: a port that answered every few seconds and then does not, twice in a
//! row, while nothing comes in over the call either. The LCP echo would need 15 s for that.
//!
//! A person's commands ([`Order`]) go over the same port, between the machine's own.

mod orders;
mod values;

use std::collections::VecDeque;
use std::time::Duration;

use sysio::Monotonic;

use crate::codec::Response;
use crate::command::Command;
use crate::machine::Port;
use crate::outcome::Outcome;

pub use values::Measurement;
use values::Question;

/// Between two questions. With two limits below it bounds how late a hang is seen: 3 + 4 + 3 s.
const BEAT: Duration = Duration::from_secs(3);
/// For an answer; the questions are those the stick answers by itself.
const ANSWER: Duration = Duration::from_secs(3);
/// For the operator's name, which some sticks look up.
const OPERATOR: Duration = Duration::from_secs(4);
/// Between two looks at the signal: it changes within seconds, people look within minutes.
const SIGNAL_EVERY: Duration = Duration::from_secs(15);
/// Between two looks at the operator, who changes when the stick travels.
const OPERATOR_EVERY: Duration = Duration::from_secs(60);
/// Missed answers in a row that make silence.
const MISSES: u8 = 2;
/// A port that cannot be opened or does not answer is tried again after this.
const REST: Duration = Duration::from_secs(30);
/// Opening a dead stick's port takes 5 s in the kernel (`USB_CTRL_SET_TIMEOUT`, linux/usb.h).
const OPENING: Duration = Duration::from_secs(6);
/// How long a person's command may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(8);
/// Commands of people waiting at the same time.
const QUEUE: usize = 4;

/// What the port is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Heartbeat and measurements, the operator among them: a call is up.
    Call,
    /// Heartbeat and measurements that cannot disturb the dialer on the other port.
    Watch,
    /// Orders only: it is the one port, and the dialer does not need it now.
    Orders,
}

/// A person's commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// By which the answer is found.
    pub token: String,
    /// Sent one after the other, up to the first that fails.
    pub commands: Vec<Command>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The moment of [`Monitor::next_deadline`] may have come.
    Tick {
        /// Bytes received over the call so far.
        received: Option<u64>,
    },
    /// Use this port, or none.
    Follow(Option<(Port, Purpose)>),
    /// The port asked for is open, or not.
    Opened(Result<(), String>),
    /// The pending command is answered.
    Answer(Response),
    /// The stick said something by itself.
    Unsolicited(String),
    /// The open port is gone.
    Lost(String),
    /// A person asks.
    Order(Order),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open this port and report [`Event::Opened`].
    Open(Port),
    /// Close it, or give up opening it.
    Close,
    /// Send this.
    Send(Command),
    /// The stick fell silent during a call.
    Silent,
    /// An order is done: what was said to each command, or why it could not be carried out.
    Done {
        /// The order's.
        token: String,
        /// Answers in order, the last one maybe a failure.
        answers: Vec<(Command, Response)>,
        /// Why there are no more.
        error: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Opening { until: Monotonic },
    Idle { until: Monotonic },
    Asking { question: Question, until: Monotonic },
    Ordered { until: Monotonic },
    Resting { until: Monotonic, why: String },
}

/// An order under way.
#[derive(Debug)]
struct Pending {
    order: Order,
    answers: Vec<(Command, Response)>,
    begin_by: Monotonic,
}

/// The machine.
#[derive(Debug)]
pub struct Monitor {
    target: Option<(Port, Purpose)>,
    state: State,
    /// Questions to be asked without a pause.
    round: VecDeque<Question>,
    /// Questions this stick refuses.
    refused: Vec<Question>,
    signal_at: Monotonic,
    operator_at: Monotonic,
    /// Whether it ever answered while this port is followed.
    answered: bool,
    misses: u8,
    /// Bytes received when the last answer was missed.
    received: Option<u64>,
    measurement: Measurement,
    orders: VecDeque<Pending>,
    /// Whether the answer to an order that was given up may still come: the next order must not get it.
    unsure: bool,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            target: None,
            state: State::Closed,
            round: VecDeque::new(),
            refused: Vec::new(),
            signal_at: Monotonic::default(),
            operator_at: Monotonic::default(),
            answered: false,
            misses: 0,
            received: None,
            measurement: Measurement::default(),
            orders: VecDeque::new(),
            unsure: false,
        }
    }
}

impl Monitor {
    /// Takes one event.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        match event {
            Event::Tick { received } => self.on_tick(now, received),
            Event::Follow(target) => self.follow(now, target),
            Event::Opened(result) => self.on_opened(now, result),
            Event::Answer(response) => self.on_answer(now, &response),
            Event::Unsolicited(line) => {
                self.measurement.hear(now, &line);
                Vec::new()
            }
            Event::Lost(reason) => self.on_lost(now, reason),
            Event::Order(order) => self.on_order(now, order),
        }
    }

    /// When to call [`Monitor::step`] with [`Event::Tick`].
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let own = match self.state {
            State::Closed => None,
            State::Opening { until }
            | State::Idle { until }
            | State::Asking { until, .. }
            | State::Ordered { until }
            | State::Resting { until, .. } => Some(until),
        };
        let waiting = self.orders.iter().map(|pending| pending.begin_by).min();
        // An order that has begun has the state's deadline.
        let waiting = waiting.filter(|_| !matches!(self.state, State::Ordered { .. }));
        [own, waiting].into_iter().flatten().min()
    }

    /// The values of the stick that is followed.
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// The port it uses or would use.
    pub fn port(&self) -> Option<&Port> {
        self.target.as_ref().map(|(port, _)| port)
    }

    /// Forgets the values: another stick.
    pub fn forget(&mut self) {
        self.measurement = Measurement::default();
        self.refused.clear();
    }

    fn follow(&mut self, now: Monotonic, target: Option<(Port, Purpose)>) -> Vec<Action> {
        let port = |target: &Option<(Port, Purpose)>| target.as_ref().map(|(port, _)| port.clone());
        if port(&target) == port(&self.target) {
            if self.purpose() == Some(Purpose::Watch) && target.as_ref().is_some_and(|t| t.1 == Purpose::Call)
            {
                self.operator_at = now;
            }
            self.target = target;
            return self.go_on(now);
        }
        self.target = target;
        self.answered = false;
        self.misses = 0;
        self.refused.clear();
        self.unsure = false;
        (self.signal_at, self.operator_at) = (now, now);
        let mut actions = self.close("the port is needed for the call, or gone; try again in a moment");
        actions.extend(self.go_on(now));
        actions
    }

    /// Opens or closes as the target wants it; an open port is left to its own rhythm.
    fn go_on(&mut self, now: Monotonic) -> Vec<Action> {
        let wanted = match &self.target {
            None => false,
            Some((_, Purpose::Orders)) => !self.orders.is_empty(),
            Some(_) => true,
        };
        match (&self.state, wanted) {
            (State::Closed, true) => self.open(now),
            (State::Idle { .. }, true) if !self.orders.is_empty() && !self.unsure => self.next_order(now),
            (State::Idle { .. } | State::Resting { .. }, false) => {
                self.close("the port is not in use any more; try again in a moment")
            }
            _ => Vec::new(),
        }
    }

    fn open(&mut self, now: Monotonic) -> Vec<Action> {
        let Some((port, _)) = &self.target else { return Vec::new() };
        self.state = State::Opening { until: now + OPENING };
        vec![Action::Open(port.clone())]
    }

    fn close(&mut self, why: &str) -> Vec<Action> {
        self.round.clear();
        let was = std::mem::replace(&mut self.state, State::Closed);
        let mut actions = match was {
            State::Ordered { .. } => self.finish_order(Some(why.to_owned())),
            _ => Vec::new(),
        };
        actions.push(Action::Close);
        actions
    }

    fn rest(&mut self, now: Monotonic, why: String) -> Vec<Action> {
        self.round.clear();
        let mut actions = vec![Action::Close];
        while !self.orders.is_empty() {
            actions.extend(self.finish_order(Some(format!("the stick does not answer: {why}"))));
        }
        self.answered = false;
        self.misses = 0;
        self.unsure = false;
        self.state = State::Resting { until: now + REST, why };
        actions
    }

    fn on_opened(&mut self, now: Monotonic, result: Result<(), String>) -> Vec<Action> {
        if !matches!(self.state, State::Opening { .. }) {
            return vec![Action::Close];
        }
        if let Err(error) = result {
            return self.rest(now, error);
        }
        // Echo off first: an echoed command is no answer, but it costs reading.
        self.round = VecDeque::from([Question::Quiet]);
        if self.purpose() != Some(Purpose::Orders) {
            self.plan_round(now);
        }
        self.turn(now)
    }

    fn on_lost(&mut self, now: Monotonic, reason: String) -> Vec<Action> {
        match self.state {
            State::Closed | State::Resting { .. } => Vec::new(),
            _ => self.rest(now, reason),
        }
    }

    fn on_tick(&mut self, now: Monotonic, received: Option<u64>) -> Vec<Action> {
        let mut actions = self.give_up_orders(now);
        actions.extend(match self.state {
            State::Opening { until } if now >= until => {
                self.rest(now, "opening the port takes too long".to_owned())
            }
            State::Idle { until } if now >= until => self.turn(now),
            State::Asking { until, .. } if now >= until => self.missed(now, received),
            State::Ordered { until } if now >= until => {
                // Whether the stick or only this command is to blame, the next question tells. Not at once:
                // an answer that comes in a pause is nobody's. Opening the port anew would not help, the
                // stick keeps what it has to say.
                self.unsure = true;
                self.round.clear();
                self.state = State::Idle { until: now + BEAT };
                self.finish_order(Some("no answer in time".to_owned()))
            }
            State::Resting { until, .. } if now >= until => {
                self.state = State::Closed;
                self.go_on(now)
            }
            _ => Vec::new(),
        });
        actions
    }

    /// What comes next on an open port.
    fn turn(&mut self, now: Monotonic) -> Vec<Action> {
        if self.unsure {
            return self.ask(now, Question::Registration);
        }
        if self.purpose() == Some(Purpose::Orders) && self.round.is_empty() && self.orders.is_empty() {
            return self.close("");
        }
        if !self.orders.is_empty() && self.round.is_empty() {
            return self.next_order(now);
        }
        if self.round.is_empty() {
            self.plan_round(now);
        }
        let question = self.round.pop_front().unwrap_or(Question::Alive);
        self.ask(now, question)
    }

    /// Measurements that are due, else a heartbeat.
    fn plan_round(&mut self, now: Monotonic) {
        if now >= self.signal_at {
            self.signal_at = now + SIGNAL_EVERY;
            self.round.extend([
                Question::Signal,
                Question::Registration,
                Question::Packet,
                Question::Evolved,
            ]);
        }
        if now >= self.operator_at && self.purpose() == Some(Purpose::Call) {
            self.operator_at = now + OPERATOR_EVERY;
            // Back to names at the end: some sticks keep one format for all ports.
            self.round.extend([
                Question::Format(2),
                Question::Operator,
                Question::Format(0),
                Question::Operator,
            ]);
        }
        self.round.retain(|question| !self.refused.contains(question));
    }

    fn ask(&mut self, now: Monotonic, question: Question) -> Vec<Action> {
        let limit = if question == Question::Operator { OPERATOR } else { ANSWER };
        self.state = State::Asking { question, until: now + limit };
        vec![Action::Send(question.command().within(limit))]
    }

    fn on_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        self.answered = true;
        self.misses = 0;
        match self.state {
            State::Asking { question, .. } => {
                if response.outcome == Outcome::Ok {
                    self.measurement.learn(now, question, &response.lines);
                    self.listen_better(question);
                } else if !self.refused.contains(&question) && question.may_be_refused() {
                    self.refused.push(question);
                    self.listen_better(question);
                }
                if self.round.is_empty() {
                    self.measurement.settle();
                }
                if self.unsure {
                    return self.on_settling(now, question, response);
                }
                self.after(now)
            }
            State::Ordered { .. } => self.on_order_answer(now, response),
            _ => Vec::new(),
        }
    }

    /// Another way to ask for the signal, where one did not tell it.
    fn listen_better(&mut self, question: Question) {
        let ways = [Question::Signal, Question::ExtendedSignal, Question::HuaweiSignal];
        let Some(asked) = ways.iter().position(|way| *way == question) else { return };
        if self.measurement.signal_dbm.is_none()
            && let Some(next) = ways[asked + 1..].iter().find(|way| !self.refused.contains(way))
        {
            self.round.push_front(*next);
        }
    }

    /// An answer while one may still be owed: only a question that got the lines that belong to it
    /// shows that there is none. After anything else a pause, in which what comes belongs to nobody.
    fn on_settling(&mut self, now: Monotonic, question: Question, response: &Response) -> Vec<Action> {
        if question == Question::Registration && response.outcome == Outcome::Ok && !response.lines.is_empty()
        {
            self.unsure = false;
            return self.after(now);
        }
        self.round.clear();
        self.state = State::Idle { until: now + BEAT };
        Vec::new()
    }

    /// Straight on in a round and with orders, else a pause.
    fn after(&mut self, now: Monotonic) -> Vec<Action> {
        let orders_only = self.purpose() == Some(Purpose::Orders);
        if orders_only || !self.round.is_empty() || !self.orders.is_empty() {
            return self.turn(now);
        }
        self.state = State::Idle { until: now + BEAT };
        Vec::new()
    }

    fn missed(&mut self, now: Monotonic, received: Option<u64>) -> Vec<Action> {
        self.misses = self.misses.saturating_add(1);
        // Some sticks starve the second port while the call is busy: then the call itself is the proof of life.
        let moved = received.is_some() && received != self.received;
        self.received = received;
        if self.misses < MISSES || (moved && self.purpose() == Some(Purpose::Call)) {
            self.round.clear();
            return self.ask(now, Question::Alive);
        }
        let fell_silent = self.answered && self.purpose() == Some(Purpose::Call);
        let why = format!("{} questions unanswered", self.misses);
        let mut actions = self.rest(now, why);
        if fell_silent {
            actions.push(Action::Silent);
        }
        actions
    }

    fn purpose(&self) -> Option<Purpose> {
        self.target.as_ref().map(|(_, purpose)| *purpose)
    }
}

#[cfg(test)]
mod tests;
