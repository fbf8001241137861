//! One run: the machine asks, the bytes answer, and what must always hold is checked. Shared by the
//! fuzz target and by crates/modem-proto/tests/fuzz_dialogue.rs.

use modem_proto::codec::{Codec, Heard};
use modem_proto::machine::{Action, Bus, Event, Form, Machine, Port, Settings, Stick};
use modem_proto::parse;
use sysio::Monotonic;

/// The longest line the codec keeps, and the most lines of one answer (crates/modem-proto/src/lines.rs, codec.rs).
const LONGEST_LINE: usize = 2048 * 3; // a byte that is no UTF-8 becomes three
const MOST_LINES: usize = 64;
/// What the machine may do in one moment without waiting.
const LONGEST_CHAIN: usize = 200;
/// A byte of this value lets the machine's deadline pass.
const WAIT: u8 = 0xfe;
/// A byte of this value takes the stick out and puts it back.
const REPLUG: u8 = 0xfd;

fn stick() -> Bus {
    let ports =
        vec![Port { name: "ttyUSB2".into(), interface: 3 }, Port { name: "ttyUSB1".into(), interface: 1 }];
    let form = Form::Serial { ports };
    Bus { sticks: vec![Stick { usb_path: "1-1".into(), id: "19d2:0031".into(), model: "x".into(), form }] }
}

struct Run {
    machine: Machine,
    codec: Codec,
    now: Monotonic,
    unanswered: bool,
}

impl Run {
    fn step(&mut self, event: Event) {
        let mut actions = self.machine.step(self.now, 50, event);
        let mut chain = 0;
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions.drain(..) {
                chain += 1;
                assert!(chain < LONGEST_CHAIN, "the machine does not come to rest");
                match action {
                    Action::Open(_) => {
                        self.codec.reset();
                        next.extend(self.machine.step(self.now, 50, Event::Opened(Ok(()))));
                    }
                    Action::Send(command) => {
                        self.codec.sent(&command);
                        self.unanswered = true;
                    }
                    _ => {}
                }
            }
            actions = next;
        }
        assert!(self.machine.next_deadline() >= self.now, "a deadline in the past");
    }

    fn hear(&mut self, bytes: &[u8]) {
        for heard in self.codec.push(bytes) {
            match heard {
                Heard::Answer(response) => {
                    assert!(std::mem::take(&mut self.unanswered), "an answer to nothing");
                    assert!(response.lines.len() <= MOST_LINES);
                    response.lines.iter().for_each(|line| parse_all(line));
                    self.step(Event::Answer(response));
                }
                Heard::Unsolicited(line) => {
                    parse_all(&line);
                    self.step(Event::Unsolicited(line));
                }
            }
        }
    }
}

fn parse_all(line: &str) {
    assert!(line.len() <= LONGEST_LINE && !line.is_empty());
    let _ = parse::sim_lock(line);
    let _ = parse::signal_dbm(line).map(|dbm| assert!((-113..=-51).contains(&dbm)));
    let _ = parse::huawei_signal_dbm(line).map(|dbm| assert!((-121..=-25).contains(&dbm)));
    let _ = parse::operator(line);
    let _ = parse::pin_tries(line).map(|tries| assert!(tries <= 15));
    let _ = parse::identity(line);
    let _ = parse::name(line);
    for prefix in ["+CREG:", "+CGREG:", "+CEREG:"] {
        let _ = parse::registration(line, prefix);
    }
}

/// Plays `data`: bytes from the stick, with moments of waiting and replugging between them.
pub(crate) fn run(data: &[u8]) {
    let now = Monotonic::from_secs(1);
    let machine = Machine::new(Settings::default(), now);
    let mut run = Run { machine, codec: Codec::default(), now, unanswered: false };
    run.step(Event::Bus(stick()));
    for piece in data.split_inclusive(|byte| matches!(*byte, WAIT | REPLUG)) {
        let (text, end) = match piece.split_last() {
            Some((&end, text)) if matches!(end, WAIT | REPLUG) => (text, end),
            _ => (piece, 0),
        };
        run.hear(text);
        if end == WAIT {
            run.now = run.machine.next_deadline().max(run.now);
            run.step(Event::Tick);
        } else if end == REPLUG {
            run.step(Event::Bus(Bus::default()));
            run.step(Event::Bus(stick()));
        }
    }
}
