//! Measurements that are taken while the call is up: signal, operator, technology.
//!
//! Beside [`crate::parse`], whose answers the dialer needs before a call, these are of use to
//! people only, so that a stick that answers them strangely costs nothing but a value.

use crate::parse;

/// The unknown value of the two-digit fields of `+CESQ` (3GPP TS 27.007 section 8.69).
const UNKNOWN: i16 = 99;

/// `+COPS: <mode>,<format>,"<operator>"[,<access>]`, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// Its name, where the format is a name.
    pub name: Option<String>,
    /// Country and network as digits, where the format is numeric.
    pub code: Option<String>,
    /// How the stick is connected to it.
    pub technology: Option<&'static str>,
}

/// Reads an answer to `AT+COPS?` in whatever format it came (27.007 section 7.3).
pub fn operator(line: &str) -> Option<Operator> {
    let text = parse::operator(line)?;
    let access = line.rsplit_once('"').and_then(|(_, after)| after.strip_prefix(',')).and_then(technology);
    let digits = (5..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, code) = if digits { (None, Some(text)) } else { (Some(text), None) };
    Some(Operator { name, code, technology: access })
}

/// `<AcT>` in the words people use (27.007 section 7.3).
fn technology(number: &str) -> Option<&'static str> {
    Some(match number.split(',').next()?.trim().parse::<u8>().ok()? {
        0 | 1 => "GSM",
        2 => "UMTS",
        3 => "EDGE",
        4 => "HSDPA",
        5 => "HSUPA",
        6 => "HSPA",
        7 => "LTE",
        8 => "EC-GSM-IoT",
        9 => "NB-IoT",
        10 => "LTE (5G core)",
        11 | 12 => "5G",
        13 => "LTE and 5G",
        _ => return None,
    })
}

/// `+CESQ: <rxlev>,<ber>,<rscp>,<ecno>,<rsrq>,<rsrp>` in dBm (27.007 section 8.69): the level of
/// the newest technology that has one.
pub fn extended_signal_dbm(line: &str) -> Option<i16> {
    let fields: Vec<i16> = line
        .strip_prefix("+CESQ:")?
        .split(',')
        .map(|field| field.trim().parse().unwrap_or(UNKNOWN))
        .collect();
    let [gsm, _, umts, _, _, lte, ..] = fields[..] else { return None };
    // Each counts in steps of 1 dB from the value below which 0 stands.
    let level = |value: i16, most: i16, zero: i16| (0..=most).contains(&value).then(|| zero + value);
    level(lte, 97, -141).or_else(|| level(umts, 96, -121)).or_else(|| level(gsm, 63, -111))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_codes_and_technologies_are_told_apart() {
        let name = operator("+COPS: 0,0,\"Test, PLMN\",7").unwrap();
        assert_eq!((name.name.as_deref(), name.technology), (Some("Test, PLMN"), Some("LTE")));
        let code = operator("+COPS: 0,2,\"00101\",2").unwrap();
        assert_eq!((code.code.as_deref(), code.name), (Some("00101"), None));
        assert_eq!(code.technology, Some("UMTS"));
        assert_eq!(operator("+COPS: 0,0,\"Old\"").unwrap().technology, None);
        assert_eq!(operator("+COPS: 0,2,\"26201\",200").unwrap().technology, None);
        assert_eq!(operator("+COPS: 0"), None);
    }

    #[test]
    fn the_newest_technology_with_a_level_counts() {
        assert_eq!(extended_signal_dbm("+CESQ: 99,99,255,255,20,41"), Some(-100));
        assert_eq!(extended_signal_dbm("+CESQ: 99,99,31,20,255,255"), Some(-90));
        assert_eq!(extended_signal_dbm("+CESQ: 41,0,255,255,255,255"), Some(-70));
        assert_eq!(extended_signal_dbm("+CESQ: 99,99,255,255,255,255"), None);
        assert_eq!(extended_signal_dbm("+CESQ: 1,2"), None);
        assert_eq!(extended_signal_dbm("+CESQ: x,,,,,"), None);
    }
}
