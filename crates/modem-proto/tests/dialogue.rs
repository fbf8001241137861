//! The codec against what sticks really send: echo, URCs anywhere, any chunks, and plain noise.

use modem_proto::codec::{Codec, Heard, Response};
use modem_proto::machine::{Action, Apn, Bus, Event, Form, Machine, Port, Settings, Stick};
use modem_proto::{Command, Outcome};
use proptest::prelude::*;
use sysio::Monotonic;

fn stick() -> Bus {
    let ports = vec![Port { name: "ttyUSB2".into(), interface: 3 }];
    let form = Form::Serial { ports };
    Bus {
        sticks: vec![Stick {
            usb_path: "1-1".into(),
            id: "19d2:0031".into(),
            model: "ZTE MF180".into(),
            form,
        }],
    }
}

/// Every command of a whole connection, as the machine sends them, with its answer replayed from
/// the transcript and the bytes split by `chunks`.
fn replay(transcript: &str, chunk: usize) -> (Vec<String>, Vec<String>, &'static str) {
    let mut machine = Machine::new(
        Settings { apn: Apn::new("internet"), dial_number: "*99#".into(), ..Settings::default() },
        Monotonic::from_secs(1),
    );
    let now = Monotonic::from_secs(2);
    let mut actions: std::collections::VecDeque<Action> = machine.step(now, 0, Event::Bus(stick())).into();
    let mut codec = Codec::default();
    let (mut sent, mut noise) = (Vec::new(), Vec::new());
    while let Some(action) = actions.pop_front() {
        match action {
            Action::Open(_) => actions.extend(machine.step(now, 0, Event::Opened(Ok(())))),
            Action::Send(command) => {
                sent.push(command.to_string());
                codec.sent(&command);
                let bytes = answer(transcript, &command);
                for piece in bytes.chunks(chunk) {
                    for heard in codec.push(piece) {
                        let event = match heard {
                            Heard::Answer(response) => Event::Answer(response),
                            Heard::Unsolicited(line) => {
                                noise.push(line.clone());
                                Event::Unsolicited(line)
                            }
                        };
                        actions.extend(machine.step(now, 0, event));
                    }
                }
            }
            _ => {}
        }
    }
    (sent, noise, machine.name())
}

/// The transcript's block for this command: lines up to the next `>` line, `\0` and `\r` in words.
fn answer(transcript: &str, command: &Command) -> Vec<u8> {
    let head = format!("> {command}\n");
    // What the transcript does not know, the stick refuses.
    let Some(start) = transcript.find(&head).map(|at| at + head.len()) else {
        return b"\r\nERROR\r\n".to_vec();
    };
    let block = transcript[start..].split("\n> ").next().unwrap_or_default();
    let mut bytes = Vec::new();
    for line in block.lines().filter(|line| !line.starts_with('#')) {
        bytes.extend_from_slice(line.replace("<NUL>", "\0").replace("<CR>", "\r").as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

const QUIET: &str = include_str!("../testdata/zte-mf180-quiet.txt");
const NOISY: &str = include_str!("../testdata/zte-mf180-noisy.txt");

#[test]
fn dials_through_a_quiet_dialogue() {
    let (sent, noise, state) = replay(QUIET, 64);
    assert_eq!(state, "dialling");
    assert_eq!(noise, [""; 0]);
    assert_eq!(sent.last().map(String::as_str), Some("ATD*99#"));
}

#[test]
fn noise_changes_nothing_in_any_chunking() {
    let (expected, ..) = replay(QUIET, 64);
    for chunk in 1..40 {
        let (sent, noise, state) = replay(NOISY, chunk);
        assert_eq!((sent, state), (expected.clone(), "dialling"), "chunks of {chunk}");
        assert!(noise.len() > 10, "the noise was heard as noise: {noise:?}");
    }
}

#[test]
fn a_late_answer_to_nobody_is_unsolicited() {
    let mut codec = Codec::default();
    assert_eq!(codec.push(b"\r\nOK\r\n"), [Heard::Unsolicited("OK".into())]);
}

/// The probe as the machine sends it.
fn probe() -> Command {
    let now = Monotonic::from_secs(1);
    let mut machine = Machine::new(Settings::default(), now);
    machine.step(now, 0, Event::Bus(stick()));
    match machine.step(now, 0, Event::Opened(Ok(()))).pop() {
        Some(Action::Send(command)) => command,
        other => panic!("no probe: {other:?}"),
    }
}

proptest! {
    /// Bytes without a whole line `OK`, or `0` as V.250 has it after `ATV0`, are never an `OK`.
    #[test]
    fn arbitrary_bytes_never_yield_a_false_ok(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                Just(b"OK".to_vec()),
                Just(b"\r\n".to_vec()),
                Just(b"+CREG: 1\r\n".to_vec()),
                Just(b"\0\0".to_vec()),
            ],
            0..60,
        ),
        pending in any::<bool>(),
    ) {
        let mut codec = Codec::default();
        if pending {
            codec.sent(&probe());
        }
        let heard: Vec<Heard> = pieces.iter().flat_map(|piece| codec.push(piece)).collect();
        let all: Vec<u8> = pieces.concat();
        let has_ok_line = all.split(|byte| *byte == b'\r' || *byte == b'\n').any(|line| {
            let text = String::from_utf8_lossy(line);
            matches!(text.trim_start_matches('\0').trim(), "OK" | "0")
        });
        let oks = heard
            .iter()
            .filter(|item| matches!(item, Heard::Answer(Response { outcome: Outcome::Ok, .. })))
            .count();
        prop_assert!(oks <= usize::from(has_ok_line && pending), "{heard:?}");
    }
}
