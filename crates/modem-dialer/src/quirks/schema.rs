//! The schema of a quirk file. What a type here lets through can go to a stick unseen: no command in
//! it can spend a PIN try or make a call.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ::config::DialNumber;
use modem_proto::machine::Oddities;
use modem_proto::maintenance;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// USB allows 256 interfaces; no modem in the kernel's drivers goes beyond 13 (Telit), so a larger
/// number is a slip.
const MOST_INTERFACES: u8 = 16;
/// A stick slower than this to answer is better left to the ladder.
const SLOWEST_START_SECONDS: u16 = 120;

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quirk {
    /// Its name.
    pub model: String,
    /// What it is when plugged in, if that is not yet a modem.
    #[serde(default)]
    pub cd_rom: Vec<CdRom>,
    /// What it is as a modem on serial ports.
    #[serde(default)]
    pub serial: Vec<Serial>,
    /// What it is as a network card that dials by itself.
    #[serde(default)]
    pub network_card: Vec<NetworkCard>,
    /// What is odd about it.
    #[serde(default)]
    pub quirks: Peculiarities,
}

/// The CD-ROM with drivers for another system, and how to make a modem of it. udev and
/// `usb_modeswitch` do that by themselves; this is for when they did not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CdRom {
    /// `vendor:product`.
    pub ids: Vec<UsbId>,
    /// Send the standard eject sequence.
    #[serde(default)]
    pub standard_eject: bool,
    /// Send Huawei's switch command for newer devices.
    #[serde(default)]
    pub huawei_new_mode: bool,
    /// Send Huawei's switch command for older devices.
    #[serde(default)]
    pub huawei_mode: bool,
    /// A bulk message in hexadecimal.
    #[serde(default)]
    pub message: Option<Hex>,
    /// Where this comes from.
    pub source: Vec<Source>,
}

/// A modem's composition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Serial {
    /// `vendor:product`.
    pub ids: Vec<UsbId>,
    /// The kernel's driver for the ports.
    pub driver: String,
    /// USB interface numbers of the ports that answer AT commands, the one for PPP first.
    #[serde(default)]
    pub at_interfaces: Vec<u8>,
    /// Class, subclass and protocol of those ports, for vendors whose numbers vary.
    #[serde(default)]
    pub at_functions: Vec<Function>,
    /// Where this comes from.
    pub source: Vec<Source>,
}

/// A network card's composition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkCard {
    /// `vendor:product`.
    pub ids: Vec<UsbId>,
    /// The kernel's driver for the network interface.
    pub driver: String,
    /// USB interface numbers of ports that answer AT commands beside it, if there are any.
    #[serde(default)]
    pub at_interfaces: Vec<u8>,
    /// Where this comes from.
    pub source: Vec<Source>,
}

/// What is odd about a model; each with its source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peculiarities {
    /// It shows no registration before the first call: dial anyway.
    pub no_creg_until_call: Option<Sourced<bool>>,
    /// Commands to send after the usual ones.
    pub init_commands: Option<Sourced<Vec<AtCommand>>>,
    /// How long after plugging in it may stay silent.
    pub slow_start_seconds: Option<Sourced<u16>>,
    /// What it wants dialled unless the user configured something.
    pub dial_number: Option<Sourced<Dial>>,
    /// Switches its CD-ROM off for good; only on request.
    pub disable_cdrom: Option<Sourced<Vec<AtCommand>>>,
    /// Switches it on again.
    pub enable_cdrom: Option<Sourced<Vec<AtCommand>>>,
}

/// A fact and where it comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "T: DeserializeOwned")]
pub struct Sourced<T> {
    /// The fact.
    pub value: T,
    /// Where it comes from.
    pub source: Vec<Source>,
}

/// A driver, package, standard or page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Source(String);

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let words = text.chars().filter(|c| c.is_alphanumeric()).count();
        if words >= 8 {
            Ok(Self(text))
        } else {
            Err(format!("source {text:?}: name a file, page or standard"))
        }
    }
}

/// Wraps what `config` parses, for serde.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Dial(pub DialNumber);

impl TryFrom<String> for Dial {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        DialNumber::from_str(&text).map(Self)
    }
}

/// A command that can be sent unseen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AtCommand(String);

impl AtCommand {
    /// As text, without line end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AtCommand {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // One command whose name is known to do no harm: a list of bad words would miss `ATE0D112;`.
        maintenance::command_of_quirk(&text)
            .map(|command| Self(command.to_string()))
            .map_err(|refusal| refusal.to_string())
    }
}

/// `vendor:product`, four lower-case hexadecimal digits each, as sysfs shows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct UsbId(String);

impl UsbId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The vendor's four digits.
    pub fn vendor(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl TryFrom<String> for UsbId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some((vendor, product)) if hexadecimal(vendor, 4) && hexadecimal(product, 4) => Ok(Self(text)),
            _ => Err(format!("USB id {text:?}: write it as \"19d2:0031\"")),
        }
    }
}

/// An interface's class, subclass and protocol, such as `ff/02/01`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Function(String);

impl Function {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Function {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() == 3 && parts.iter().all(|part| hexadecimal(part, 2)) {
            return Ok(Self(text));
        }
        Err(format!("{text:?}: write class, subclass and protocol as \"ff/02/01\""))
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex(String);

impl Hex {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits =
            !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if fits { Ok(Self(text)) } else { Err(format!("{text:?}: not bytes in hexadecimal")) }
    }
}

fn hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b"0123456789abcdef".contains(&b))
}

impl Quirk {
    /// What the machine has to know about it, by each id it has as a modem.
    pub fn oddities(&self) -> impl Iterator<Item = (String, Oddities)> {
        let odd = &self.quirks;
        let commands = odd.init_commands.iter().flat_map(|fact| &fact.value);
        let what = Oddities {
            registers_by_calling: odd.no_creg_until_call.as_ref().is_some_and(|fact| fact.value),
            commands: commands.map(|command| command.as_str().to_owned()).collect(),
            slow_start: Duration::from_secs(
                odd.slow_start_seconds.as_ref().map_or(0, |fact| fact.value.into()),
            ),
            dial_number: odd.dial_number.as_ref().map(|fact| fact.value.0.as_str().to_owned()),
        };
        let ids = self.serial.iter().flat_map(|serial| &serial.ids);
        ids.map(move |id| (id.as_str().to_owned(), what.clone()))
    }

    /// Whether one of its ids is this one.
    pub fn knows(&self, id: &str) -> bool {
        let cd_rom = self.cd_rom.iter().flat_map(|mode| &mode.ids);
        let serial = self.serial.iter().flat_map(|mode| &mode.ids);
        let card = self.network_card.iter().flat_map(|mode| &mode.ids);
        cd_rom.chain(serial).chain(card).any(|known| known.as_str() == id)
    }

    /// What no single value shows: that the parts fit together.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.model.trim().is_empty() {
            return Err("model: empty".to_owned());
        }
        if self.serial.is_empty() && self.network_card.is_empty() {
            return Err("neither [[serial]] nor [[network-card]]: what is it after the switch?".to_owned());
        }
        self.serial.iter().try_for_each(Serial::check)?;
        for card in &self.network_card {
            ids_and_source("network-card", &card.ids, &card.source)?;
            interfaces(&card.at_interfaces)?;
        }
        for cd_rom in &self.cd_rom {
            ids_and_source("cd-rom", &cd_rom.ids, &cd_rom.source)?;
            if !(cd_rom.standard_eject
                || cd_rom.huawei_new_mode
                || cd_rom.huawei_mode
                || cd_rom.message.is_some())
            {
                return Err("cd-rom: no way to switch it".to_owned());
            }
        }
        self.quirks.check()
    }
}

impl Serial {
    fn check(&self) -> Result<(), String> {
        ids_and_source("serial", &self.ids, &self.source)?;
        interfaces(&self.at_interfaces)?;
        match (self.at_interfaces.is_empty(), self.at_functions.is_empty()) {
            (true, true) => Err("serial: neither at-interfaces nor at-functions".to_owned()),
            (false, false) => Err("serial: at-interfaces and at-functions exclude each other".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Peculiarities {
    fn check(&self) -> Result<(), String> {
        let sources = [
            self.no_creg_until_call.as_ref().map(|fact| &fact.source),
            self.init_commands.as_ref().map(|fact| &fact.source),
            self.slow_start_seconds.as_ref().map(|fact| &fact.source),
            self.dial_number.as_ref().map(|fact| &fact.source),
            self.disable_cdrom.as_ref().map(|fact| &fact.source),
            self.enable_cdrom.as_ref().map(|fact| &fact.source),
        ];
        if sources.into_iter().flatten().any(Vec::is_empty) {
            return Err("quirks: a fact without source".to_owned());
        }
        match &self.slow_start_seconds {
            Some(fact) if fact.value > SLOWEST_START_SECONDS => {
                Err(format!("slow-start-seconds: {} is more than {SLOWEST_START_SECONDS}", fact.value))
            }
            _ => Ok(()),
        }
    }
}

fn ids_and_source(section: &str, ids: &[UsbId], source: &[Source]) -> Result<(), String> {
    if ids.is_empty() {
        return Err(format!("{section}: no ids"));
    }
    if source.is_empty() {
        return Err(format!("{section}: no source"));
    }
    Ok(())
}

fn interfaces(numbers: &[u8]) -> Result<(), String> {
    match numbers.iter().find(|number| **number >= MOST_INTERFACES) {
        Some(number) => Err(format!("at-interfaces: {number} is not below {MOST_INTERFACES}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "model = \"x\"\n[[cd-rom]]\nids = [\"19d2:2000\"]\nstandard-eject = true\n\
        source = [\"a public page\"]\n[[serial]]\nids = [\"19d2:0031\"]\ndriver = \"option\"\n\
        at-interfaces = [3]\nsource = [\"a public page\"]\n\
        [quirks]\ninit-commands = { value = [\"AT+CPMS?\"], source = [\"a public page\"] }\n";

    fn fits(text: &str) -> bool {
        toml::from_str::<Quirk>(text).is_ok_and(|quirk| quirk.check().is_ok())
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(fits(GOOD));
        for (from, to) in [
            ("model = \"x\"", "modell = \"x\""),
            ("model = \"x\"", "model = \" \""),
            ("19d2:0031", "19D2:31"),
            ("[3]", "[16]"),
            ("[3]", "[]"),
            ("at-interfaces = [3]", "at-interfaces = [3]\nat-functions = [\"ff/01/01\"]"),
            ("at-interfaces = [3]", "at-functions = [\"ff0101\"]"),
            ("standard-eject = true", "standard-eject = false"),
            ("standard-eject = true", "message = \"5\""),
            ("source = [\"a public page\"]\n[quirks]", "source = []\n[quirks]"),
            ("source = [\"a public page\"]\n[quirks]", "[quirks]"),
            ("source = [\"a public page\"] }", "source = [\"?\"] }"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            assert!(!fits(&GOOD.replace(from, to)), "{from} → {to}");
        }
    }

    #[test]
    fn no_quirk_file_can_spend_a_pin_try_or_make_a_call() {
        for bad in [
            "AT+CPIN=\\\"0000\\\"",
            "AT;+CLCK=\\\"SC\\\",1",
            "ATD112;",
            "ATE0D112;",
            "AT+CSQ;D*99#",
            "AT+CSQ;+CPIN=1",
            "ATA",
            "+++",
            "AT\\rATD1",
            "",
        ] {
            assert!(!fits(&GOOD.replace("AT+CPMS?", bad)), "{bad}");
        }
    }
}
