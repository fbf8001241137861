//! Values that say when, how and with which stick to dial.

use super::{Fault, Faults, TextValue, Value, described};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A closed choice of words.
macro_rules! choice {
    ($(#[doc = $doc:literal])* $type:ident, default $default:ident, hint $hint:literal {
        $($(#[doc = $word_doc:literal])* $variant:ident = $word:literal),* $(,)?
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[doc = $word_doc])* $variant,)*
        }

        impl Default for $type {
            fn default() -> Self {
                Self::$default
            }
        }

        impl TextValue for $type {
            const FORM: &'static str = [$($word),*][0];

            fn parse(text: &str) -> Result<Self, Fault> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(Fault::new("not one of the words that mean something here", $hint)),
                }
            }

            fn text(&self) -> String {
                match self { $(Self::$variant => $word,)* }.to_owned()
            }
        }
    };
}

pub(super) use choice;

choice! {
    /// When to dial.
    DialMode, default Always, hint "write \"always\" or \"on-demand\"" {
        /// Always.
        Always = "always",
        /// While the wired line is down, or on request.
        OnDemand = "on-demand",
    }
}

choice! {
    /// Which login the provider's gateway may ask for.
    Auth, default Any, hint "write \"any\", \"pap\" or \"chap\"" {
        /// Whichever it asks for.
        Any = "any",
        /// PAP alone (RFC 1334).
        Pap = "pap",
        /// CHAP and its relatives (RFC 1994).
        Chap = "chap",
    }
}

choice! {
    /// Which addresses to ask the network for.
    PdpType, default Ipv4, hint "write \"ipv4\", \"ipv6\" or \"ipv4v6\"" {
        /// IPv4 alone.
        Ipv4 = "ipv4",
        /// IPv6 alone.
        Ipv6 = "ipv6",
        /// Both.
        Ipv4v6 = "ipv4v6",
    }
}

/// Where a stick is plugged in, in the kernel's words: bus, then ports (`1-1.2`; Linux
/// Documentation/ABI/stable/sysfs-bus-usb).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbPath(String);

impl UsbPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for UsbPath {
    const FORM: &'static str = "1-1.2";

    fn parse(text: &str) -> Result<Self, Fault> {
        let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let sound =
            text.split_once('-').is_some_and(|(bus, ports)| number(bus) && ports.split('.').all(number));
        if sound {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new("not a USB path", "copy it from `failberry status`, such as \"1-1.2\""))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A stick's number (3GPP TS 23.003 section 6.2: 14 digits, a check digit, or a 2-digit version).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imei(String);

impl Imei {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for Imei {
    const FORM: &'static str = "490154203237518";

    fn parse(text: &str) -> Result<Self, Fault> {
        if (14..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new("not 14 to 16 digits", "copy the IMEI from the stick's label"))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// How long the wired line must be back before a call made on demand ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleHangup(u32);

impl IdleHangup {
    /// Shortest: a line that has just come back may go again, and each call may cost a day's fee.
    pub const SHORTEST: u32 = 10;
    /// Longest: a day.
    pub const LONGEST: u32 = 86_400;

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for IdleHangup {
    fn default() -> Self {
        Self(120)
    }
}

impl Value for IdleHangup {
    const SECRET: bool = false;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        seconds(value, Self::SHORTEST, Self::LONGEST).map(Self)
    }

    fn write(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// A number of seconds between two bounds.
pub(super) fn seconds(value: &Spanned<DeValue<'_>>, shortest: u32, longest: u32) -> Result<u32, Faults> {
    let hint = format!("write a number of seconds from {shortest} to {longest}");
    let DeValue::Integer(integer) = value.get_ref() else {
        let cause = format!("{} where a number is expected", described(value.get_ref()));
        return Err(vec![Fault { span: Some(value.span()), ..Fault::new(cause, hint) }]);
    };
    let seconds = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
    seconds
        .filter(|seconds| (shortest..=longest).contains(seconds))
        .ok_or_else(|| vec![Fault { span: Some(value.span()), ..Fault::new("out of range", hint) }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usb_paths_and_imeis_are_checked() {
        for good in ["1-1", "1-1.2", "2-1.4.3"] {
            assert!(UsbPath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1-", "1-1.", "usb1", "1-1:1.3", "../1-1"] {
            assert!(UsbPath::parse(bad).is_err(), "{bad}");
        }
        assert!(Imei::parse("354762020123456").is_ok());
        assert!(Imei::parse("35476202012345x").is_err());
    }

    #[test]
    fn a_hang_up_time_is_a_number_within_bounds() {
        let read = |text: &str| {
            let config = crate::parse(format!("[modem]\nidle-hangup-seconds = {text}\n").as_bytes());
            config.map(|config| config.modem.idle_hangup.duration().as_secs())
        };
        assert_eq!(read("300").unwrap(), 300);
        for bad in ["5", "\"300\"", "-1", "1e3", "100000000000"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
