//! Values of a line that costs by the byte.

use super::{Cidr, Fault, Faults, TextValue, Value, described};
use std::fmt;
use std::net::IpAddr;
use toml::Spanned;
use toml::de::DeValue;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl Mac {
    fn read(text: &str) -> Result<Self, Fault> {
        let octet = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let octets: Option<Vec<u8>> = text.split([':', '-']).map(octet).collect();
        let mac = octets.and_then(|octets| octets.try_into().ok()).map(Self);
        mac.ok_or_else(|| Fault::new("not a hardware address", "six pairs: \"aa:bb:cc:dd:ee:ff\""))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets: Vec<String> = self.0.iter().map(|octet| format!("{octet:02x}")).collect();
        f.write_str(&octets.join(":"))
    }
}

/// A device of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// By its hardware address, which covers all its addresses of both families.
    Mac(Mac),
    /// By address or network.
    Network(Cidr),
}

const DEVICE_HINT: &str =
    "write a hardware address (\"aa:bb:cc:dd:ee:ff\"), an address (\"192.168.178.20\") or a network";

impl TextValue for Device {
    const FORM: &'static str = "aa:bb:cc:dd:ee:ff";

    fn parse(text: &str) -> Result<Self, Fault> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(Cidr::host(address)));
        }
        if text.contains('/') {
            return Cidr::parse(text).map(Self::Network);
        }
        if text.contains([':', '-']) && !text.contains("::") {
            return Mac::read(text).map(Self::Mac);
        }
        Err(Fault::new("not a device", DEVICE_HINT))
    }

    fn text(&self) -> String {
        match self {
            Self::Mac(mac) => mac.to_string(),
            Self::Network(network) => network.to_string(),
        }
    }
}

/// Who is meant: a device, or a group by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// One device or network.
    Device(Device),
    /// All of a group.
    Group(String),
}

impl TextValue for Who {
    const FORM: &'static str = Device::FORM;

    fn parse(text: &str) -> Result<Self, Fault> {
        match group_name(text) {
            Ok(name) => Ok(Self::Group(name)),
            Err(_) => Device::parse(text)
                .map(Self::Device)
                .map_err(|fault| Fault { hint: format!("{}; or the name of a group", fault.hint), ..fault }),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Device(device) => device.text(),
            Self::Group(name) => name.clone(),
        }
    }
}

/// Devices under one name, written as `name: device device …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Its devices, at least one.
    pub devices: Vec<Device>,
}

impl Group {
    /// Longest name, in bytes.
    pub const LONGEST: usize = 32;
}

impl TextValue for Group {
    const FORM: &'static str = "office: aa:bb:cc:dd:ee:ff 192.168.178.20";

    fn parse(text: &str) -> Result<Self, Fault> {
        let Some((name, devices)) = text.split_once(": ") else {
            let hint = format!("write name, colon, space, devices: \"{}\"", Self::FORM);
            return Err(Fault::new("not a group", hint));
        };
        let name = group_name(name.trim())?;
        let words = devices.split([' ', ',', '\t']).filter(|word| !word.is_empty());
        let devices: Vec<Device> = words.map(Device::parse).collect::<Result<_, _>>()?;
        if devices.is_empty() {
            return Err(Fault::new("a group without devices", "name at least one, or remove the group"));
        }
        Ok(Self { name, devices })
    }

    fn text(&self) -> String {
        let devices: Vec<String> = self.devices.iter().map(TextValue::text).collect();
        format!("{}: {}", self.name, devices.join(" "))
    }
}

/// A name that can be neither a hardware address nor an address.
fn group_name(text: &str) -> Result<String, Fault> {
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    // `aa-bb-cc-dd-ee-ff` is how Windows writes a hardware address.
    if begins && plain && text.len() <= Group::LONGEST && Mac::read(text).is_err() {
        return Ok(text.to_owned());
    }
    let hint = format!("a letter, then letters, digits, - and _, {} at most", Group::LONGEST);
    Err(Fault::new("not a name of a group", hint))
}

/// Units, longest first, so that "MiB" is not read as "B". Providers bill in the decimal ones
/// (IEC 80000-13 keeps the two apart).
const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

/// An amount of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(u64);

impl Bytes {
    /// Largest: far beyond any plan, and far from an overflow in sums.
    pub const LARGEST: u64 = 1_000_000_000_000_000;

    /// The number of bytes.
    pub fn count(self) -> u64 {
        self.0
    }

    /// From text such as `5 GB`, `1.5GB` or `512 MiB`. GB is 1000 MB, as providers bill; GiB is 1024 MiB.
    ///
    /// # Errors
    /// What is wrong, with a hint.
    pub fn from_text(text: &str) -> Result<Self, String> {
        <Self as TextValue>::parse(text).map_err(|fault| format!("{}; {}", fault.cause, fault.hint))
    }
}

impl TextValue for Bytes {
    const FORM: &'static str = "5 GB";

    fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |cause: &str| {
            let hint =
                "write a number and a unit: \"5 GB\", \"500 MB\" (decimal, as providers bill), \"2 GiB\"";
            Fault::new(cause, hint)
        };
        let lower = text.trim().to_ascii_lowercase();
        let unit = UNITS.iter().find(|(name, _)| lower.ends_with(name));
        let (name, factor) = unit.ok_or_else(|| fault("an amount of data without a unit"))?;
        let number = lower[..lower.len() - name.len()].trim_end();
        let bytes = scaled(number, *factor).ok_or_else(|| fault("not an amount of data"))?;
        if bytes == 0 || bytes > Self::LARGEST {
            return Err(fault("out of range: more than nothing, at most 1000 TB"));
        }
        Ok(Self(bytes))
    }

    fn text(&self) -> String {
        let exact = UNITS[4..].iter().filter(|(_, factor)| self.0.is_multiple_of(*factor));
        match exact.max_by_key(|(_, factor)| factor) {
            Some((name, factor)) => format!("{} {}", self.0 / factor, name.to_ascii_uppercase()),
            None => format!("{} B", self.0),
        }
    }
}

/// `1.5` times a factor, exactly; nothing but digits and one point.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || number.ends_with('.') {
        return None;
    }
    let shift = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let value: u128 = format!("{whole}{part}").parse().ok()?;
    u64::try_from(value * u128::from(factor) / shift).ok()
}

/// The day of the month on which the provider begins to count anew. In a month without it, the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillingDay(u8);

impl BillingDay {
    /// 1 to 31.
    pub fn day(self) -> u8 {
        self.0
    }
}

impl Default for BillingDay {
    fn default() -> Self {
        Self(1)
    }
}

impl Value for BillingDay {
    const SECRET: bool = false;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        let hint = "write a day of the month from 1 to 31; shorter months use their last day";
        let fault = |cause: String| vec![Fault { span: Some(value.span()), ..Fault::new(cause, hint) }];
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(fault(format!("{} where a number is expected", described(value.get_ref()))));
        };
        let day = u8::from_str_radix(integer.as_str(), integer.radix()).ok();
        day.filter(|day| (1..=31).contains(day)).map(Self).ok_or_else(|| fault("out of range".to_owned()))
    }

    fn write(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_decimal_unless_they_say_otherwise() {
        for (text, bytes) in [
            ("5 GB", 5_000_000_000),
            ("5GB", 5_000_000_000),
            ("1.5 gb", 1_500_000_000),
            ("0.3 GB", 300_000_000),
            ("500 MB", 500_000_000),
            ("2 GiB", 2_147_483_648),
            ("64 KiB", 65_536),
            ("7 B", 7),
            ("1000 TB", 1_000_000_000_000_000),
        ] {
            let read = Bytes::parse(text).unwrap();
            assert_eq!(read.count(), bytes, "{text}");
            assert_eq!(Bytes::parse(&read.text()).unwrap(), read, "{}", read.text());
        }
        let wrong = [
            "", "5", "GB", "-5 GB", "+5 GB", "5. GB", ".5 GB", "5 XB", "1e3 MB", "0 GB", "1001 TB", "5 5 GB",
        ];
        for bad in wrong {
            assert!(Bytes::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Bytes::parse(&format!("{} TB", "9".repeat(200))).is_err());
    }

    #[test]
    fn a_device_is_a_hardware_address_an_address_or_a_network() {
        for (text, same) in [
            ("AA:BB:CC:DD:EE:0F", "aa:bb:cc:dd:ee:0f"),
            ("aa-bb-cc-dd-ee-ff", "aa:bb:cc:dd:ee:ff"),
            ("10.77.0.20", "10.77.0.20/32"),
            ("fd00::20", "fd00::20/128"),
            ("10.77.0.0/24", "10.77.0.0/24"),
        ] {
            assert_eq!(Who::parse(text).unwrap().text(), same);
        }
        assert_eq!(Who::parse("office").unwrap(), Who::Group("office".to_owned()));
        for bad in ["", "10.77.0", "aa:bb:cc:dd:ee", "10.0.0.1/8", "0.0.0.0/0", "an office", "ü"] {
            assert!(Who::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_group_has_a_name_and_devices() {
        let group = Group::parse("office: aa:bb:cc:dd:ee:ff, 10.77.0.20 fd00::/64").unwrap();
        assert_eq!((group.name.as_str(), group.devices.len()), ("office", 3));
        assert_eq!(Group::parse(&group.text()).unwrap(), group);
        for bad in
            ["office", "office:", "office: ", ": 10.0.0.1", "aa-bb-cc-dd-ee-ff: 10.0.0.1", "a b: 10.0.0.1"]
        {
            assert!(Group::parse(bad).is_err(), "{bad:?}");
        }
    }
}
