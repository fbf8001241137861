//! Answers to facts. Every parser takes a line as it came and gives `None` for anything unexpected.

/// What the SIM asks for (`+CPIN?`, 27.007 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimLock {
    /// Nothing.
    Ready,
    /// The PIN.
    Pin,
    /// The unblocking key.
    Puk,
    /// Something else, such as the unlock code of a stick tied to a provider.
    Other(String),
}

/// How the stick stands with the network (27.007 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Not registered and not searching.
    Idle,
    /// Registered, home network.
    Home,
    /// Searching.
    Searching,
    /// The network refused.
    Denied,
    /// Unknown, for example out of coverage.
    Unknown,
    /// Registered, foreign network.
    Roaming,
    /// Registered for short messages or emergency calls only: no data.
    Limited,
}

impl Registration {
    fn of(stat: u8) -> Option<Self> {
        Some(match stat {
            0 => Self::Idle,
            // 9: home network, "CSFB not preferred", which concerns voice alone.
            1 | 9 => Self::Home,
            2 => Self::Searching,
            3 => Self::Denied,
            4 => Self::Unknown,
            5 | 10 => Self::Roaming,
            // SMS only (6, 7), emergency only (8), restricted local operator services (11).
            6..=8 | 11 => Self::Limited,
            _ => return None,
        })
    }

    /// What counts for data, of what the stick says of voice, of packets (2G and 3G) and of LTE and later.
    ///
    /// A stick at home for voice can be abroad for data, and the data are what costs: where packets are
    /// registered, that decides. Some sticks tell of voice alone.
    pub fn for_data(circuit: Option<Self>, packet: Option<Self>, evolved: Option<Self>) -> Option<Self> {
        let known = [evolved, packet, circuit];
        [Self::Roaming, Self::Home]
            .into_iter()
            .find(|wanted| known[..2].contains(&Some(*wanted)))
            .or(circuit)
            .or_else(|| known.into_iter().flatten().next())
    }

    /// One word for the snapshot.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Home => "home",
            Self::Searching => "searching",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
            Self::Roaming => "roaming",
            Self::Limited => "limited",
        }
    }
}

/// `+CPIN: …`.
pub fn sim_lock(line: &str) -> Option<SimLock> {
    let state = line.strip_prefix("+CPIN:")?.replace('"', "");
    Some(match state.trim() {
        // The second PIN guards phone-book features only; data works without.
        "READY" | "SIM PIN2" | "SIM PUK2" => SimLock::Ready,
        "SIM PIN" => SimLock::Pin,
        "SIM PUK" => SimLock::Puk,
        "" => return None,
        other => SimLock::Other(other.to_owned()),
    })
}

/// `+CREG: <n>,<stat>[,…]` as an answer; the URC `+CREG: <stat>[,"<lac>",…]` is `None`.
///
/// Answers have 2 to 8 fields and sometimes leading zeros.
pub fn registration(line: &str, prefix: &str) -> Option<Registration> {
    let fields: Vec<&str> = line.strip_prefix(prefix)?.split(',').map(str::trim).collect();
    if !(2..=8).contains(&fields.len()) || !is_number(fields[0]) || !is_number(fields[1]) {
        return None;
    }
    Registration::of(fields[1].parse().ok()?)
}

/// A decimal number of at most three digits; four are a location area code without quotes.
fn is_number(field: &str) -> bool {
    (1..=3).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_digit())
}

/// `+CSQ: <rssi>,<ber>` in dBm; `None` also for "unknown" (99).
pub fn signal_dbm(line: &str) -> Option<i16> {
    let rssi: i16 = line.strip_prefix("+CSQ:")?.split(',').next()?.trim().parse().ok()?;
    // 27.007 section 8.5: 0 is -113 dBm or less, 31 is -51 dBm or more, 2 dB a step.
    (0..=31).contains(&rssi).then(|| -113 + 2 * rssi)
}

/// `^HCSQ: "<mode>",<level>,…` of Huawei's LTE sticks in dBm: `<level>` is the received strength, or of
/// WCDMA the code power, in steps of 1 dB above -121 (Huawei's AT command manuals; 4IceG/luci-app-3ginfo-lite
/// reads it so). `None` for "NOSERVICE" and "unknown" (255).
pub fn huawei_signal_dbm(line: &str) -> Option<i16> {
    let mut fields = line.strip_prefix("^HCSQ:")?.split(',').map(str::trim);
    let mode = fields.next()?.trim_matches('"');
    let level: i16 = fields.next()?.parse().ok()?;
    (mode != "NOSERVICE" && (0..=96).contains(&level)).then(|| level - 121)
}

/// `+COPS: <mode>,<format>,"<operator>"[,<access>]`: the operator.
pub fn operator(line: &str) -> Option<String> {
    let rest = line.strip_prefix("+COPS:")?;
    let name = rest.split('"').nth(1)?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Tries left for the PIN, from the answer to `AT+CSIM=10,"0020000100"`: status word 63Cx
/// (ETSI TS 102 221 section 11.1.9: an empty VERIFY asks for the counter and does not touch it).
pub fn pin_tries(line: &str) -> Option<u8> {
    let word = line.strip_prefix("+CSIM:")?.split('"').nth(1)?.to_ascii_uppercase();
    if word == "6983" {
        return Some(0); // blocked
    }
    u8::from_str_radix(word.strip_prefix("63C")?, 16).ok().filter(|_| word.len() == 4)
}

/// Tries left for the PIN, from `+CPINR: SIM PIN,<retries>[,<default>]` (27.007 section 8.65); the code
/// comes with and without quotes.
pub fn pin_retries(line: &str) -> Option<u8> {
    let mut fields = line.strip_prefix("+CPINR:")?.split(',').map(str::trim);
    let code = fields.next()?.trim_matches('"');
    fields.next()?.parse().ok().filter(|_| code == "SIM PIN")
}

/// An identity of digits (`+CIMI`, `+CGSN`): 14 to 16 of them.
pub fn identity(line: &str) -> Option<String> {
    let digits = line.rsplit(':').next()?.trim().trim_matches('"');
    let plausible = (14..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plausible.then(|| digits.to_owned())
}

/// A name in an answer to `+CGMI` or `+CGMM`, without quotes and the prefix some sticks put there.
pub fn name(line: &str) -> Option<String> {
    let line = ["+CGMI:", "+CGMM:"].iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line);
    let name = line.trim().trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sim_states_with_and_without_quotes() {
        assert_eq!(sim_lock("+CPIN: READY"), Some(SimLock::Ready));
        assert_eq!(sim_lock("+CPIN:\"SIM PIN\""), Some(SimLock::Pin));
        assert_eq!(sim_lock("+CPIN: SIM PIN2"), Some(SimLock::Ready));
        assert_eq!(sim_lock("+CPIN: SIM PUK"), Some(SimLock::Puk));
        assert_eq!(sim_lock("+CPIN: PH-NET PIN"), Some(SimLock::Other("PH-NET PIN".into())));
        assert_eq!(sim_lock("+CPIN:"), None);
    }

    #[test]
    fn tells_registration_answers_from_their_urcs() {
        let read = |line| registration(line, "+CREG:");
        assert_eq!(read("+CREG: 0,1"), Some(Registration::Home));
        assert_eq!(read("+CREG: 2,05,\"00A1\",\"01C2\",2"), Some(Registration::Roaming));
        assert_eq!(read("+CREG: 002,003,00A1,01C2"), Some(Registration::Denied));
        assert_eq!(read("+CREG: 2,1,\"1\",\"2\",7,0,0,0"), Some(Registration::Home));
        for urc in ["+CREG: 1", "+CREG: 1,\"00A1\",\"01C2\"", "+CREG: 1,00A1,01C2", "+CREG: 5,1234,01C2"] {
            assert_eq!(read(urc), None, "{urc}");
        }
    }

    #[test]
    fn where_data_are_registered_decides_and_not_where_voice_is() {
        use Registration::{Denied, Home, Idle, Roaming, Searching};
        for (circuit, packet, evolved, counts) in [
            (Some(Home), Some(Roaming), None, Some(Roaming)),
            (Some(Home), None, Some(Roaming), Some(Roaming)),
            (Some(Roaming), Some(Home), Some(Idle), Some(Home)),
            (Some(Home), Some(Idle), Some(Idle), Some(Home)),
            (Some(Home), None, None, Some(Home)),
            (Some(Denied), Some(Searching), None, Some(Denied)),
            (None, Some(Searching), None, Some(Searching)),
            (None, None, None, None),
        ] {
            assert_eq!(Registration::for_data(circuit, packet, evolved), counts);
        }
    }

    #[test]
    fn reads_signal_operator_and_identities() {
        assert_eq!(signal_dbm("+CSQ: 18,99"), Some(-77));
        assert_eq!(signal_dbm("+CSQ: 99,99"), None);
        assert_eq!(huawei_signal_dbm("^HCSQ: \"LTE\",59,55,105,20"), Some(-62));
        assert_eq!(huawei_signal_dbm("^HCSQ:\"WCDMA\",44,35,47"), Some(-77));
        assert_eq!(huawei_signal_dbm("^HCSQ: \"NOSERVICE\""), None);
        assert_eq!(huawei_signal_dbm("^HCSQ: \"LTE\",255,255,255,255"), None);
        assert_eq!(operator("+COPS: 0,0,\"Test PLMN\",2").as_deref(), Some("Test PLMN"));
        assert_eq!(operator("+COPS: 0"), None);
        assert_eq!(identity("+CGSN: 354762020123456").as_deref(), Some("354762020123456"));
        assert_eq!(identity("ZTE"), None);
        assert_eq!(name("+CGMM: \"MF180\"").as_deref(), Some("MF180"));
    }

    #[test]
    fn reads_the_pin_counter_without_guessing() {
        assert_eq!(pin_tries("+CSIM: 4,\"63C3\""), Some(3));
        assert_eq!(pin_tries("+CSIM: 4,\"63c1\""), Some(1));
        assert_eq!(pin_tries("+CSIM: 4,\"6983\""), Some(0));
        assert_eq!(pin_tries("+CSIM: 4,\"9000\""), None);
        assert_eq!(pin_tries("+CSIM: 4,\"63C\""), None);
        assert_eq!(pin_retries("+CPINR: SIM PIN,3,3"), Some(3));
        assert_eq!(pin_retries("+CPINR: \"SIM PIN\", 1"), Some(1));
        assert_eq!(pin_retries("+CPINR: SIM PIN2,3,3"), None);
        assert_eq!(pin_retries("+CPINR: 3"), None);
    }
}
