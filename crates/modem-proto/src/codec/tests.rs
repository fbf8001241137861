//! Answers late, in other letters, in digits, and between anything else.

use super::*;
use proptest::prelude::*;

fn answers(heard: Vec<Heard>) -> Vec<Response> {
    heard
        .into_iter()
        .filter_map(|item| if let Heard::Answer(response) = item { Some(response) } else { None })
        .collect()
}

fn only_answer(codec: &mut Codec, bytes: &[u8]) -> Response {
    let all = answers(codec.push(bytes));
    let [response] = &all[..] else { panic!("{all:?}") };
    response.clone()
}

#[test]
fn a_late_ok_does_not_answer_a_call() {
    let mut codec = Codec::default();
    codec.sent(&Command::dial("*99#"));
    assert_eq!(codec.push(b"\r\nOK\r\n"), [Heard::Unsolicited("OK".into())]);
    let response = only_answer(&mut codec, b"\r\nCONNECT 7200000\r\n");
    assert!(matches!(response.outcome, Outcome::Connect(_)));
}

#[test]
fn a_late_ok_of_a_command_given_up_does_not_answer_the_next_question() {
    let mut codec = Codec::default();
    codec.sent(&Command::plain("AT+CGATT=1"));
    // It took too long. Its OK arrives when something else was asked.
    codec.sent(&Command::question("AT+CSQ", "+CSQ:"));
    assert_eq!(answers(codec.push(b"\r\nOK\r\n")), []);
    let response = only_answer(&mut codec, b"\r\n+CSQ: 7,99\r\n\r\nOK\r\n");
    assert_eq!(response.lines, ["+CSQ: 7,99"]);
    // From here on nothing is owed: an empty OK is an answer again.
    codec.sent(&Command::question("AT+COPS?", "+COPS:"));
    assert_eq!(only_answer(&mut codec, b"OK\r\n").lines, [""; 0]);
}

#[test]
fn probes_that_are_answered_late_do_not_put_the_dialogue_off_by_one() {
    let mut codec = Codec::default();
    // Two unanswered probes of a stick that starts; then all three OKs at once.
    for _ in 0..3 {
        codec.sent(&Command::probe());
    }
    assert_eq!(answers(codec.push(b"OK\r\nOK\r\nOK\r\n")).len(), 1);
    codec.sent(&Command::text("AT+CGMM", "+CGMM:"));
    let response = only_answer(&mut codec, b"MF180\r\nOK\r\n");
    assert_eq!(response.lines, ["MF180"]);
}

#[test]
fn a_question_asked_twice_may_be_answered_twice() {
    let mut codec = Codec::default();
    codec.sent(&Command::question("AT+CSQ", "+CSQ:"));
    codec.sent(&Command::question("AT+CSQ", "+CSQ:"));
    assert_eq!(only_answer(&mut codec, b"+CSQ: 7,99\r\nOK\r\n").lines.len(), 1);
    codec.sent(&Command::operator());
    assert_eq!(answers(codec.push(b"+CSQ: 8,99\r\nOK\r\n")), []);
    assert_eq!(only_answer(&mut codec, b"+COPS: 0\r\nOK\r\n").lines, ["+COPS: 0"]);
}

#[test]
fn a_stick_that_answers_questions_with_ok_alone_is_not_waited_for_for_ever() {
    let mut codec = Codec::default();
    codec.sent(&Command::plain("AT"));
    for _ in 0..2 {
        codec.sent(&Command::text("AT+CGMI", "+CGMI:"));
        if !answers(codec.push(b"OK\r\n")).is_empty() {
            return;
        }
    }
    panic!("its OK never counted");
}

#[test]
fn the_echo_says_that_what_follows_is_the_answer() {
    let mut codec = Codec::default();
    codec.sent(&Command::plain("AT+CGATT=1"));
    codec.sent(&Command::text("AT+CGMI", "+CGMI:"));
    assert_eq!(only_answer(&mut codec, b"AT+CGMI\r\r\nOK\r\n").outcome, Outcome::Ok);
}

#[test]
fn results_in_digits_end_commands_without_answer_lines() {
    for (digit, outcome) in [(&b"0\r"[..], Outcome::Ok), (b"4\r", Outcome::Error)] {
        let mut codec = Codec::default();
        codec.sent(&Command::probe());
        assert_eq!(only_answer(&mut codec, digit).outcome, outcome);
    }
    for (digit, outcome) in [(&b"3\r"[..], Outcome::NoCarrier), (b"7\r", Outcome::Busy)] {
        let mut codec = Codec::default();
        codec.sent(&Command::dial("*99#"));
        assert_eq!(only_answer(&mut codec, digit).outcome, outcome);
    }
    // Where text is expected a digit may be the text.
    let mut codec = Codec::default();
    codec.sent(&Command::text("AT+CGMR", "+CGMR:"));
    assert_eq!(only_answer(&mut codec, b"0\r\nOK\r\n").lines, ["0"]);
}

const URCS: [&str; 12] = [
    "+CREG: 1",
    "+CREG: 1,\"00A1\",\"01C2\"",
    "+CGREG: 2",
    "^RSSI:14",
    "^HCSQ: \"LTE\",59,55,105,20",
    "+ZPASR: \"UMTS\"",
    "+ZDONR: \"METEOR\",272,3,\"CS_PS\",\"ROAM_OFF\"",
    "+UUPSDD: 0",
    "+QIND: SMS DONE",
    "NO CARRIER",
    "RING",
    "\0\0",
];

proptest! {
    /// The answer is the same whatever stands between its lines and however its bytes are cut.
    #[test]
    fn urcs_between_the_lines_and_any_chunks_change_nothing(
        noise in proptest::collection::vec(proptest::collection::vec(0..URCS.len(), 0..3), 4),
        cuts in proptest::collection::vec(1usize..9, 1..60),
        which in 0usize..4,
        echo in any::<bool>(),
    ) {
        let (command, lines) = match which {
            0 => (Command::question("AT+CSQ", "+CSQ:"), vec!["+CSQ: 18,99"]),
            1 => (Command::registration("AT+CREG?", "+CREG:"), vec!["+CREG: 2,1,\"0F14\",\"02B1D016\",2"]),
            2 => (Command::text("ATI", "I:"), vec!["Model: E3372", "Revision: 21.200.07.00.00"]),
            _ => (Command::plain("ATE0"), vec![]),
        };
        let mut all = String::new();
        if echo {
            all.push_str(&format!("{}\r\r\n", command.text));
        }
        for index in 0..4 {
            for urc in &noise[index] {
                all.push_str(&format!("\r\n{}\r\n", URCS[*urc]));
            }
            if let Some(line) = lines.get(index) {
                all.push_str(&format!("\r\n{line}\r\n"));
            }
        }
        all.push_str("\r\nOK\r\n");
        let mut codec = Codec::default();
        codec.sent(&command);
        let (mut bytes, mut heard) = (all.as_bytes(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
            heard.extend(codec.push(piece));
            bytes = rest;
            if bytes.is_empty() {
                break;
            }
        }
        let answers = answers(heard);
        prop_assert_eq!(answers.len(), 1);
        prop_assert_eq!(&answers[0].outcome, &Outcome::Ok);
        prop_assert_eq!(&answers[0].lines, &lines);
    }
}
