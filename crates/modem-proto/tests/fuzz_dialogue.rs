//! The fuzz target of `fuzz/`, bounded and seeded, so that CI runs it on stable Rust: recorded dialogues
//! and the dialects' own words, mutated.

#[path = "../../../fuzz/src/dialogue.rs"]
mod dialogue;

const CORPUS: [&str; 8] = [
    include_str!("../testdata/zte-mf180-quiet.txt"),
    include_str!("../testdata/zte-mf180-noisy.txt"),
    include_str!("../testdata/recorded/zte.txt"),
    include_str!("../testdata/recorded/huawei.txt"),
    include_str!("../testdata/recorded/sierra.txt"),
    include_str!("../testdata/recorded/quectel.txt"),
    include_str!("../testdata/recorded/simcom.txt"),
    include_str!("../testdata/recorded/ublox.txt"),
];
/// Words that change the course of a dialogue; the last two are waiting and replugging.
const WORDS: [&[u8]; 22] = [
    b"\r\nOK\r\n",
    b"\r\nERROR\r\n",
    b"\r\nCONNECT\r\n",
    b"NO CARRIER\r\n",
    b"BUSY\r\n",
    b"0\r",
    b"4\r",
    b"+CME ERROR: 10\r\n",
    b"+CME ERROR: 16\r\n",
    b"+CME ERROR: SIM busy\r\n",
    b"+CPIN: READY\r\n",
    b"+CPIN: SIM PIN\r\n",
    b"+CPIN: SIM PUK\r\n",
    b"+CREG: 0,1\r\n",
    b"+CREG: 2,5,\"1\",\"2\"\r\n",
    b"+CSQ: 99,99\r\n",
    b"+CSIM: 4,\"63C3\"\r\n",
    b"\0\0\xff\xff",
    b"\r",
    b"\n",
    b"\xfe",
    b"\xfd",
];
/// Some seconds in a debug build.
const RUNS: u32 = 6_000;
/// Pieces of a run.
const PIECES: usize = 40;

/// Marsaglia's xorshift: repeatable and no dependency.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }
}

fn input(random: &mut Random, lines: &[&str]) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..=random.below(PIECES) {
        match random.below(8) {
            0..=2 => data.extend_from_slice(WORDS[random.below(WORDS.len())]),
            3 | 4 => data.extend_from_slice(b"OK\r\n"),
            _ => {
                data.extend_from_slice(lines[random.below(lines.len())].as_bytes());
                data.extend_from_slice(b"\r\n");
            }
        }
    }
    for _ in 0..random.below(4) {
        let at = random.below(data.len());
        match random.below(4) {
            0 => data[at] = u8::try_from(random.below(256)).unwrap(),
            1 => data.truncate(at.max(1)),
            2 => data.insert(at, u8::try_from(random.below(256)).unwrap()),
            _ => {
                let copy = data[at..].to_vec();
                data.extend_from_slice(&copy);
            }
        }
    }
    data
}

#[test]
fn mutated_dialogues_break_nothing() {
    let lines: Vec<&str> = CORPUS
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim_start_matches("> ").trim_start_matches("= "))
        .collect();
    let mut random = Random(0x5eed_f00d_1234_5678);
    for index in 0..RUNS {
        let data = input(&mut random, &lines);
        let outcome = std::panic::catch_unwind(|| dialogue::run(&data));
        assert!(outcome.is_ok(), "run {index}: {:?}", String::from_utf8_lossy(&data));
    }
}

#[test]
fn endless_lines_and_floods_stay_bounded() {
    for flood in [&b"+CREG: 1\r\n"[..], b"x", b"OK\r\n", b"\0", b"\xfe", b"\xfd", b"\r\n", b"ERROR\r\n"] {
        dialogue::run(&flood.repeat(20_000));
    }
}
