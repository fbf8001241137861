//! AT command lines (ITU-T V.250 section 5): gathering characters into lines and lines into
//! commands.

/// Longest command line; V.250 asks for at least 40, real firmware takes a few hundred.
const LINE_MAX: usize = 512;
const CR: u8 = b'\r';
const BACKSPACE: u8 = 8;

/// One command of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// A letter, maybe after `&`, with a number (0 when left out): `E0`, `&C1`.
    Basic(String, u32),
    /// An S-register read (`None`) or set.
    Register(u32, Option<u32>),
    /// `+NAME` or another vendor's prefix, in capitals.
    Extended(String, Op),
    /// `D` and everything after it.
    Dial(String),
}

/// What an extended command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// `+NAME`
    Run,
    /// `+NAME?`
    Read,
    /// `+NAME=?`
    Test,
    /// `+NAME=…`
    Set(String),
}

/// What the characters have come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The commands of a whole line; an empty list answers `OK`.
    Commands(Vec<Command>),
    /// A line that starts with AT and makes no sense.
    Garbled,
}

/// Gathers the characters of one port.
#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    line: Vec<u8>,
    last: Vec<u8>,
}

impl Gatherer {
    /// Takes one character; a line's end gives what it says. Lines without AT are ignored.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Line> {
        match byte {
            CR => {
                let line = std::mem::take(&mut self.line);
                let at = find_at(&line)?;
                self.last = line[at + 2..].to_vec();
                Some(parse(&self.last))
            }
            b'\n' => None,
            BACKSPACE => {
                self.line.pop();
                None
            }
            b'/' if matches!(self.line[..], [b'A' | b'a']) => {
                self.line.clear();
                Some(parse(&self.last))
            }
            _ => {
                if self.line.len() < LINE_MAX {
                    self.line.push(byte);
                }
                None
            }
        }
    }
}

/// Where AT stands: a modem takes the last prefix after noise on the line.
fn find_at(line: &[u8]) -> Option<usize> {
    line.windows(2).position(|pair| pair.eq_ignore_ascii_case(b"AT"))
}

fn parse(line: &[u8]) -> Line {
    let Ok(text) = std::str::from_utf8(line) else { return Line::Garbled };
    let mut rest = without_spaces(text);
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let Some((command, after)) = first(&rest) else { return Line::Garbled };
        commands.push(command);
        rest = after;
    }
    if line.len() + 2 >= LINE_MAX { Line::Garbled } else { Line::Commands(commands) }
}

/// Spaces mean nothing outside quotes (V.250 section 5.2.1).
fn without_spaces(text: &str) -> String {
    let mut quoted = false;
    text.chars()
        .filter(|c| {
            quoted ^= *c == '"';
            quoted || *c != ' '
        })
        .collect()
}

fn first(rest: &str) -> Option<(Command, String)> {
    let lead = rest.chars().next()?.to_ascii_uppercase();
    match lead {
        'D' => Some((Command::Dial(rest[1..].into()), String::new())),
        'S' => register(&rest[1..]),
        'A'..='Z' => {
            let (value, after) = number(&rest[1..]);
            Some((Command::Basic(lead.into(), value.unwrap_or(0)), after.into()))
        }
        '&' => {
            let letter = rest[1..].chars().next().filter(char::is_ascii_alphabetic)?;
            let (value, after) = number(&rest[2..]);
            let name = format!("&{}", letter.to_ascii_uppercase());
            Some((Command::Basic(name, value.unwrap_or(0)), after.into()))
        }
        '+' | '^' | '$' | '%' | '*' => Some(extended(rest)),
        _ => None,
    }
}

fn number(text: &str) -> (Option<u32>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

fn register(text: &str) -> Option<(Command, String)> {
    let (index, rest) = number(text);
    let index = index?;
    if let Some(rest) = rest.strip_prefix('?') {
        return Some((Command::Register(index, None), rest.into()));
    }
    let (value, rest) = number(rest.strip_prefix('=')?);
    Some((Command::Register(index, Some(value?)), rest.into()))
}

/// An extended command ends at a semicolon outside quotes, or with the line.
fn extended(text: &str) -> (Command, String) {
    let mut quoted = false;
    let end = text
        .find(|c: char| {
            quoted ^= c == '"';
            c == ';' && !quoted
        })
        .unwrap_or(text.len());
    let rest = text[end..].trim_start_matches(';').to_owned();
    let text = &text[..end];
    let name_end = text.find(['=', '?']).unwrap_or(text.len());
    let op = match &text[name_end..] {
        "" => Op::Run,
        "?" => Op::Read,
        "=?" => Op::Test,
        set => Op::Set(set[1..].into()),
    };
    (Command::Extended(text[..name_end].to_ascii_uppercase(), op), rest)
}

/// The parts of a parameter list, without quotes.
pub(crate) fn parameters(list: &str) -> Vec<String> {
    let mut quoted = false;
    list.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(|part| part.trim_matches('"').to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Option<Line> {
        let mut gatherer = Gatherer::default();
        text.bytes().filter_map(|byte| gatherer.push(byte)).last()
    }

    fn basic(name: &str, value: u32) -> Command {
        Command::Basic(name.into(), value)
    }

    #[test]
    fn a_whole_init_string_is_one_line_of_commands() {
        let expected = vec![
            basic("Q", 0),
            basic("V", 1),
            basic("E", 1),
            Command::Register(0, Some(0)),
            basic("&C", 1),
            basic("&D", 2),
            Command::Extended("+FCLASS".into(), Op::Set("0".into())),
        ];
        assert_eq!(typed("ATQ0 V1 E1 S0=0 &C1 &D2 +FCLASS=0\r"), Some(Line::Commands(expected)));
    }

    #[test]
    fn extended_commands_are_separated_by_semicolons_outside_quotes() {
        let expected = vec![
            basic("E", 0),
            Command::Extended("+CGDCONT".into(), Op::Set("1,\"IP\",\"a;b c\"".into())),
            Command::Extended("+CREG".into(), Op::Read),
        ];
        assert_eq!(typed("ate0+cgdcont=1,\"IP\",\"a;b c\";+creg?\r"), Some(Line::Commands(expected)));
        assert_eq!(parameters("1,\"IP\",\"a,b\""), ["1", "IP", "a,b"]);
    }

    #[test]
    fn dialling_takes_the_rest_of_the_line() {
        assert_eq!(typed("ATDT*99***1#\r"), Some(Line::Commands(vec![Command::Dial("T*99***1#".into())])));
    }

    #[test]
    fn the_last_line_is_repeated_without_a_return() {
        assert_eq!(
            typed("AT+CSQ\rA/"),
            Some(Line::Commands(vec![Command::Extended("+CSQ".into(), Op::Run)]))
        );
    }

    #[test]
    fn noise_before_at_is_skipped_and_lines_without_it_are_silent() {
        assert_eq!(typed("~}#AT\r"), Some(Line::Commands(vec![])));
        assert_eq!(typed("hello\r"), None);
        assert_eq!(typed("AX\x08T\r"), Some(Line::Commands(vec![])));
    }

    #[test]
    fn nonsense_and_endless_lines_are_garbled() {
        assert_eq!(typed("AT?!\r"), Some(Line::Garbled));
        assert_eq!(typed(&format!("AT{}\r", "E1".repeat(1000))), Some(Line::Garbled));
        assert_eq!(typed("AT&\r"), Some(Line::Garbled));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        const NASTY: &[u8] = b"AT&+?=;\",S/D\r\n\x08 9\xff\xc3\xa4";
        let mut gatherer = Gatherer::default();
        let mut seed = 1_u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 16) as usize % NASTY.len();
            gatherer.push(NASTY[at]);
        }
    }
}
