//! Which commands a person may send to the stick through the daemon.
//!
//! The rule: one extended command (`AT+…`, `AT^…`, …), `ATI` or `AT&V`, in one line of printable
//! ASCII, unless its name is on the list below. The list has what costs something that cannot be had
//! back (tries for a PIN, the stick's firmware), what would take the stick out of the dialer's hands
//! (calls, power, registration, another set of USB interfaces), and what would break the dialogue itself.
//!
//! The commands of quirk files keep to the same rule: they are sent unseen.

use std::time::Duration;

use crate::command::Command;

/// V.250 section 5.2.1 asks for 40 characters at least; the longest useful ones stay far below.
pub const LONGEST: usize = 128;
/// Questions are answered at once; those that ask the network within some seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a command is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing, or too much.
    #[error("refuse command: {0} characters; write 2 to {LONGEST}")]
    Length(usize),
    /// More than one line, or bytes that are no text.
    #[error("refuse command: control characters or other than ASCII; write one line")]
    NotText,
    /// Not of the form above.
    #[error("refuse {0}: not one extended command; write it like AT+CSQ, without `;`, calls (D), A/ or +++")]
    Form(String),
    /// It would do harm.
    #[error("refuse {name}: {why}")]
    Harmful {
        /// The command's name.
        name: String,
        /// What it would do, and what to do instead.
        why: &'static str,
    },
}

const SIM: &str =
    "it could use up the SIM's PIN or PUK tries; set modem.pin in failberry.toml, or use a phone";
const CALL: &str = "calls are the dialer's; use failberry redial";
const POWER: &str = "it would restart or switch off the stick; use hub-reset cycle";
const NETWORK: &str = "registration is the dialer's; a manual choice would survive its restart";
const DIALOGUE: &str = "it would break the dialogue with the stick";
const FIRMWARE: &str = "it would put the stick into its download mode, from which it does not come back";
const CD_ROM: &str = "use failberry modem disable-cdrom";
const COMPOSITION: &str = "it would make another USB device of the stick, which would keep that and maybe have no port to come back";
const SECOND_LINE: &str = "it asks for a second line, which cannot be given here";

/// What a name is refused for.
struct Rule {
    /// The name, or a part of it between `*`.
    name: &'static str,
    /// Whether asking (`?`, `=?`) is allowed.
    may_ask: bool,
    why: &'static str,
}

const fn set(name: &'static str, why: &'static str) -> Rule {
    Rule { name, may_ask: true, why }
}

const fn any(name: &'static str, why: &'static str) -> Rule {
    Rule { name, may_ask: false, why }
}

/// Names of 3GPP TS 27.007 (`+C…`) and 27.005 (`+CMG…`), V.250 (`+IPR` …), and of the vendors' AT
/// manuals: ZTE `+Z…`, Huawei `^…`, Quectel `+Q…`, Sierra `!…`, Telit `#…`, u-blox `+U…`, `SIMCom`
/// `+CPOWD`, `+CRESET` and `+CUSB…`, Qualcomm's own `$QC…`.
const RULES: &[Rule] = &[
    set("*PIN*", SIM),
    set("*PUK*", SIM),
    set("*LCK*", SIM),
    set("*LOCK*", SIM),
    set("*PWD*", SIM),
    set("+CSIM", SIM),
    set("+CRSM", SIM),
    set("+CGLA", SIM),
    set("+CCHO", SIM),
    set("+CGACT", CALL),
    any("+CGDATA", CALL),
    set("+CGATT", CALL),
    set("+CGDCONT", "the APN is modem.apn in failberry.toml"),
    any("+CHUP", CALL),
    any("+CVHU", CALL),
    set("^NDISDUP", CALL),
    set("$QCRMCALL", CALL),
    set("+CFUN", POWER),
    any("+CPOF", POWER),
    any("+CPWROFF", POWER),
    any("+QPOWD", POWER),
    any("+CRESET", POWER),
    any("^RESET", POWER),
    any("^SMSO", POWER),
    any("!RESET", POWER),
    any("#REBOOT", POWER),
    any("#SHDN", POWER),
    any("+CPOWD", POWER),
    any("$QCPWRDN", POWER),
    set("^SETPORT", COMPOSITION),
    set("^U2DIAG", COMPOSITION),
    set("+CUSBPIDSWITCH", COMPOSITION),
    set("#USBCFG", COMPOSITION),
    set("!USBCOMP", COMPOSITION),
    set("!UDUSBCOMP", COMPOSITION),
    set("+UUSBCONF", COMPOSITION),
    set("+COPS", NETWORK),
    set("+CPOL", NETWORK),
    set("+IPR", DIALOGUE),
    set("+ICF", DIALOGUE),
    set("+IFC", DIALOGUE),
    set("+CMUX", DIALOGUE),
    set("+CMEE", DIALOGUE),
    set("+FCLASS", DIALOGUE),
    any("^GODLOAD", FIRMWARE),
    any("^FASTBOOT", FIRMWARE),
    any("+QDOWNLOAD", FIRMWARE),
    any("+QFASTBOOT", FIRMWARE),
    any("!BOOTHOLD", FIRMWARE),
    set("+ZOPRT", CD_ROM),
    set("+ZCDRUN", CD_ROM),
    set("+CMGS", SECOND_LINE),
    set("+CMGW", SECOND_LINE),
    set("+CMGC", SECOND_LINE),
    any("+CMSS", "it would send a message at the owner's cost"),
];

/// The command, if a person may send it.
///
/// # Errors
/// Says why not, and what to do instead.
pub fn command(text: &str) -> Result<Command, Refusal> {
    allowed(text, |_| false)
}

/// A command of a quirk file, if it keeps to the rule. Of what is refused to a person, it may switch the
/// CD-ROM: that is what such files know better than anybody who types.
///
/// # Errors
/// As [`command`].
pub fn command_of_quirk(text: &str) -> Result<Command, Refusal> {
    allowed(text, |rule| rule.why == CD_ROM)
}

fn allowed(text: &str, exempt: impl Fn(&Rule) -> bool) -> Result<Command, Refusal> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(Refusal::NotText);
    }
    if !(2..=LONGEST).contains(&text.len()) {
        return Err(Refusal::Length(text.len()));
    }
    let form = || Refusal::Form(text.to_owned());
    let body =
        text.get(..2).filter(|at| at.eq_ignore_ascii_case("AT")).map(|_| &text[2..]).ok_or_else(form)?;
    let upper = body.to_ascii_uppercase();
    if ["", "I", "&V"].contains(&upper.as_str()) || is_identification(&upper) {
        return Ok(Command::maintenance(&format!("AT{upper}"), LIMIT));
    }
    let (name, rest) = split(&upper).ok_or_else(form)?;
    if !(["", "?", "=?"].contains(&rest) || rest.strip_prefix('=').is_some_and(is_value)) {
        return Err(form());
    }
    if name == "+COPS" && rest == "=?" {
        let why = "a search for networks takes minutes and interrupts the call";
        return Err(Refusal::Harmful { name: name.to_owned(), why });
    }
    if name == "+QCFG" && changes_composition(rest) {
        return Err(Refusal::Harmful { name: name.to_owned(), why: COMPOSITION });
    }
    let asks = rest == "?" || rest == "=?";
    let forbids = |rule: &&Rule| rule.names(name) && !(asks && rule.may_ask) && !exempt(rule);
    if let Some(rule) = RULES.iter().find(forbids) {
        return Err(Refusal::Harmful { name: name.to_owned(), why: rule.why });
    }
    // The value keeps its case: names in quotes may depend on it.
    Ok(Command::maintenance(&format!("AT{name}{}", &body[name.len()..]), LIMIT))
}

/// Quectel's `+QCFG="usbcfg",…` and `"usbnet",…`; without a value behind the name they ask.
fn changes_composition(rest: &str) -> bool {
    let value = rest.trim_start_matches(['=', '"', ' ']);
    value.starts_with("USB") && value.contains(',')
}

/// `ATI0` to `ATI9` (V.250 section 6.1.3).
fn is_identification(body: &str) -> bool {
    matches!(body.as_bytes(), [b'I', b'0'..=b'9'])
}

/// Numbers, words and strings, with commas between: nothing in which firmware of whatever leniency
/// could find a second command, such as `;`.
fn is_value(text: &str) -> bool {
    let mut quoted = false;
    let fits = text.chars().all(|c| {
        quoted ^= c == '"';
        c != ';' && (quoted || c.is_ascii_alphanumeric() || "\",.-_*#:/ ".contains(c))
    });
    fits && !quoted
}

/// Mark and name of an extended command, and what stands behind.
fn split(body: &str) -> Option<(&str, &str)> {
    let mark = body.starts_with(['+', '^', '$', '%', '*', '#', '!', '_', '@']);
    let rest = &body[usize::from(mark)..];
    let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (mark && name > 0).then(|| body.split_at(name + 1))
}

impl Rule {
    fn names(&self, name: &str) -> bool {
        match self.name.strip_prefix('*').and_then(|part| part.strip_suffix('*')) {
            Some(part) => name.contains(part),
            None => self.name == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> String {
        String::from_utf8(command(text).unwrap().wire()).unwrap()
    }

    #[test]
    fn questions_of_maintenance_are_sent_as_they_are() {
        for text in
            ["AT", "ATI", "ATI3", "AT+CSQ", "AT+CPIN?", "AT+COPS?", "AT+CFUN?", "AT^HCSQ?", "AT!GSTATUS?"]
        {
            assert_eq!(wire(text), format!("{text}\r"));
        }
        assert_eq!(wire(" at+csq\n"), "AT+CSQ\r");
        assert_eq!(wire("AT+CUSD=1,\"*100#\",15"), "AT+CUSD=1,\"*100#\",15\r");
        assert_eq!(wire("at+qcfg=\"nwscanmode\""), "AT+QCFG=\"nwscanmode\"\r");
        for text in ["AT+QCFG=\"usbnet\"", "AT^SETPORT?", "AT!USBCOMP=?", "AT#USBCFG?"] {
            assert_eq!(wire(text), format!("{text}\r"));
        }
    }

    #[test]
    fn nothing_that_could_cost_a_try_for_the_pin_is_sent() {
        for text in [
            "AT+CPIN=1234",
            "AT+CPIN=\"1234\"",
            "at+cpin=\"12345678\",\"0000\"",
            "AT+CLCK=\"SC\",0,\"1234\"",
            "AT+CPWD=\"SC\",\"1\",\"2\"",
            "AT+CPIN2=1234",
            "AT^CPIN=1",
            "AT+CSIM=10,\"0020000100\"",
            "AT+CRSM=214",
            "AT^CARDLOCK=\"1\"",
            "AT+CGLA=1,10,\"0020\"",
            "AT+CPIN",
        ] {
            assert!(matches!(command(text), Err(Refusal::Harmful { why: SIM, .. })), "{text}");
        }
    }

    #[test]
    fn no_second_command_hides_behind_the_first() {
        for text in [
            "AT+CSQ;+CPIN=1234",
            "ATE0+CPIN=1234",
            "ATE0D*99#",
            "ATD*99#",
            "ATA",
            "ATH",
            "ATZ",
            "A/",
            "+++",
            "AT+++",
            "AT+CSQ+CPIN=1",
            "AT+CSQ?+CPIN=1",
            "AT+CSQ=1+CPIN=1",
            "AT+CSQ=?+CPIN=1",
            "AT+CUSD=1,\"*100#",
            "AT+CSQ\rAT+CPIN=1234",
            "AT+",
            "AT&F",
            "ATS0=1",
            "CSQ",
        ] {
            assert!(command(text).is_err(), "{text}");
        }
        assert_eq!(command("AT+CSQ\nAT+CPIN=1"), Err(Refusal::NotText));
        assert_eq!(command("AT+CSQ\u{1b}"), Err(Refusal::NotText));
        assert_eq!(command(&format!("AT+CUSD=\"{}\"", "1".repeat(200))), Err(Refusal::Length(210)));
        assert_eq!(command(""), Err(Refusal::Length(0)));
    }

    #[test]
    fn a_quirk_file_may_switch_the_cd_rom_and_otherwise_what_anybody_may() {
        assert!(command("AT+ZCDRUN=8").is_err());
        assert_eq!(command_of_quirk("AT+ZCDRUN=8").unwrap().to_string(), "AT+ZCDRUN=8");
        for text in ["AT+CPIN=1234", "ATE0D112;", "AT+CSQ;D*99#", "AT+CFUN=1,1", "AT+QCFG=\"usbnet\",1"] {
            assert!(command_of_quirk(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_dialers_own_business_is_left_to_it() {
        for text in [
            "AT+CFUN=1,1",
            "AT+CGATT=0",
            "AT+COPS=2",
            "AT+COPS=?",
            "AT+CGDCONT=1,\"IP\",\"x\"",
            "AT+ZCDRUN=8",
            "AT^RESET",
            "AT+CMGS=\"1\"",
            "AT^SETPORT=\"A1,A2\"",
            "AT^U2DIAG=0",
            "AT+QCFG=\"usbnet\",1",
            "AT+QCFG=\"usbcfg\",0x2C7C,0x0125,1",
            "AT+CUSBPIDSWITCH=9001,1,1",
            "AT#USBCFG=3",
            "AT!USBCOMP=1,1,100D",
            "AT!UDUSBCOMP=6",
            "AT+UUSBCONF=0",
            "AT#REBOOT",
            "AT#SHDN",
            "AT+CPOWD=1",
            "AT$QCPWRDN",
            "AT+QPOWD=1",
            "AT+CPWROFF",
            "AT^GODLOAD",
        ] {
            assert!(matches!(command(text), Err(Refusal::Harmful { .. })), "{text}");
        }
    }
}
