//! What real sticks said (`testdata/recorded/`), in every chunking, and what the parsers make of it.

use std::time::Duration;

use super::*;
use crate::parse::{self, Registration, SimLock};

const RECORDED: [(&str, &str); 6] = [
    ("zte", include_str!("../../testdata/recorded/zte.txt")),
    ("huawei", include_str!("../../testdata/recorded/huawei.txt")),
    ("sierra", include_str!("../../testdata/recorded/sierra.txt")),
    ("quectel", include_str!("../../testdata/recorded/quectel.txt")),
    ("simcom", include_str!("../../testdata/recorded/simcom.txt")),
    ("ublox", include_str!("../../testdata/recorded/ublox.txt")),
];

struct Exchange {
    command: String,
    bytes: Vec<u8>,
    lines: Vec<String>,
    outcome: String,
}

fn exchanges(text: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(command) = line.strip_prefix("> ") {
            let (bytes, lines, outcome) = (Vec::new(), Vec::new(), String::new());
            found.push(Exchange { command: command.to_owned(), bytes, lines, outcome });
            continue;
        }
        let exchange = found.last_mut().expect("a file begins with a command");
        if let Some(expected) = line.strip_prefix("= ") {
            let before = std::mem::replace(&mut exchange.outcome, expected.to_owned());
            exchange.lines.extend(Some(before).filter(|before| !before.is_empty()));
        } else {
            exchange.bytes.extend_from_slice(line.replace("<CR>", "\r").as_bytes());
            exchange.bytes.extend_from_slice(b"\r\n");
        }
    }
    found
}

/// The command as the machine would build it.
fn command(text: &str) -> Command {
    let prefix = |known: &[&'static str]| {
        let name: String = text.trim_start_matches("AT").trim_end_matches('?').to_owned() + ":";
        known.iter().find(|prefix| **prefix == name).copied()
    };
    if let Some(number) = text.strip_prefix("ATD") {
        return Command::dial(number);
    }
    if let Some(prefix) = prefix(&["+CREG:", "+CGREG:", "+CEREG:"]) {
        return Command::registration(text, prefix);
    }
    if let Some(prefix) = prefix(&["+CPIN:", "+CSQ:", "+COPS:", "+CGDCONT:", "+CNMP:", "^ICCID:", "^HCSQ:"]) {
        return Command::question(text, prefix);
    }
    match text {
        "AT+CGMI" => Command::text(text, "+CGMI:"),
        "AT+CGMM" => Command::text(text, "+CGMM:"),
        "ATI" => Command::text(text, "+GMI:"),
        "ATE0+CPMS?" => Command::question(text, "+CPMS:"),
        _ => Command::plain(text),
    }
}

#[test]
fn every_recorded_answer_is_understood_in_every_chunking() {
    for (vendor, text) in RECORDED {
        assert!(
            text.contains("# ") && text.contains(": http") || text.contains("README"),
            "{vendor}: no source"
        );
        for exchange in exchanges(text) {
            for chunk in 1..=exchange.bytes.len() {
                let mut codec = Codec::default();
                let sent = command(&exchange.command);
                assert!(sent.limit > Duration::ZERO);
                codec.sent(&sent);
                let heard: Vec<Heard> =
                    exchange.bytes.chunks(chunk).flat_map(|piece| codec.push(piece)).collect();
                let answers: Vec<_> = heard
                    .iter()
                    .filter_map(|h| if let Heard::Answer(r) = h { Some(r) } else { None })
                    .collect();
                let [answer] = &answers[..] else {
                    panic!("{vendor}, {}, chunks of {chunk}: {heard:?}", exchange.command)
                };
                assert_eq!(answer.lines, exchange.lines, "{vendor}, {}", exchange.command);
                let outcome = answer.outcome.to_string();
                assert_eq!(outcome, exchange.outcome, "{vendor}, {}", exchange.command);
            }
        }
    }
}

fn answer(vendor: &str, command: &str) -> String {
    let text = RECORDED.iter().find(|(name, _)| *name == vendor).unwrap().1;
    exchanges(text).into_iter().find(|e| e.command == command).unwrap().lines.remove(0)
}

#[test]
fn recorded_answers_become_facts() {
    assert_eq!(parse::name(&answer("zte", "AT+CGMI")).as_deref(), Some("ZTE CORPORATION"));
    assert_eq!(parse::sim_lock(&answer("huawei", "AT+CPIN?")), Some(SimLock::Ready));
    assert_eq!(parse::huawei_signal_dbm(&answer("huawei", "AT^HCSQ?")), Some(-77));
    assert_eq!(parse::operator(&answer("huawei", "AT+COPS?")).as_deref(), Some("PLAY"));
    assert_eq!(parse::signal_dbm(&answer("sierra", "AT+CSQ")), Some(-77));
    assert_eq!(parse::operator(&answer("sierra", "AT+COPS?")).as_deref(), Some("Verizon Wireless"));
    assert_eq!(parse::operator(&answer("simcom", "AT+COPS?")).as_deref(), Some("242 01 Telenor"));
    let registered = |vendor, command, prefix| parse::registration(&answer(vendor, command), prefix);
    // The voice network may refuse what the packet network allows: both have to be asked.
    assert_eq!(registered("sierra", "AT+CREG?", "+CREG:"), Some(Registration::Denied));
    assert_eq!(registered("sierra", "AT+CEREG?", "+CEREG:"), Some(Registration::Home));
    assert_eq!(registered("quectel", "AT+CGREG?", "+CGREG:"), Some(Registration::Home));
    assert_eq!(registered("ublox", "AT+CEREG?", "+CEREG:"), Some(Registration::Home));
    assert_eq!(registered("ublox", "AT+CGREG?", "+CGREG:"), Some(Registration::Idle));
}

/// The start of the SARA-G450 in `vshymanskyy/TinyGSM#296`, whose driver stayed one answer behind for good.
#[test]
fn a_stick_that_starts_slowly_does_not_stay_one_answer_behind() {
    let mut codec = Codec::default();
    let answered = |codec: &mut Codec, bytes: &[u8]| {
        codec
            .push(bytes)
            .into_iter()
            .find_map(|h| if let Heard::Answer(r) = h { Some(r.lines) } else { None })
    };
    codec.sent(&Command::probe());
    codec.sent(&Command::probe());
    for command in [Command::probe(), Command::plain("ATE0"), Command::plain("AT+CMEE=2")] {
        codec.sent(&command);
        assert_eq!(answered(&mut codec, b"\r\nOK\r\n"), Some(vec![]));
    }
    codec.sent(&Command::text("AT+CGMI", "+CGMI:"));
    assert_eq!(answered(&mut codec, b"\r\nOK\r\n"), None);
    assert_eq!(answered(&mut codec, b"\r\nu-blox\r\n\r\nOK\r\n"), Some(vec!["u-blox".to_owned()]));
}
