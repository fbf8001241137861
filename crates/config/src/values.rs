//! The types of single values. Whoever holds one knows that it is right.

mod dialling;
mod dyndns;
mod metered;
mod modem;
mod network;
mod notify;
mod prober;
mod target;
mod text;

pub use dialling::{Auth, DialMode, IdleHangup, Imei, PdpType, UsbPath};
pub use dyndns::{DnsAccount, DnsLink, DynamicName};
pub use metered::{BillingDay, Bytes, Device, Group, Mac, Who};
pub use modem::{Apn, DialNumber, Pin};
pub use network::{Cidr, FailbackHold, Hostname, InterfaceName, Mode, OpenPort, Peer, Protocol};
pub use notify::{HostPort, MailAddress, MailSecurity, MailServer, MetricPrefix, MinSeverity, Wait, WebUrl};
pub use prober::{PageLine, PageTarget};
pub use target::{Host, ProbeKind, ProbeTarget};
pub use text::{Secret, Text};

use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// What is wrong with one value. The value itself is not repeated: it may be a secret.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) cause: String,
    pub(crate) hint: String,
}

impl Fault {
    pub(crate) fn new(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { span: None, cause: cause.into(), hint: hint.into() }
    }
}

/// All that is wrong with one value (a list has many).
pub(crate) type Faults = Vec<Fault>;

/// A value as it stands in the file.
pub(crate) trait Value: Sized {
    /// True if it must not be shown.
    const SECRET: bool;
    /// From the file.
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults>;
    /// To a file; `None` when it is not set.
    fn write(&self) -> Option<String>;
}

/// A value written as text in quotes.
pub(crate) trait TextValue: Sized {
    /// True if it must not be shown.
    const SECRET: bool = false;
    /// What to write, for the hint after a wrong type.
    const FORM: &'static str;
    /// From the text between the quotes.
    fn parse(text: &str) -> Result<Self, Fault>;
    /// To the text between the quotes.
    fn text(&self) -> String;
}

impl<T: TextValue> Value for T {
    const SECRET: bool = <T as TextValue>::SECRET;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        let fault = match value.get_ref() {
            DeValue::String(text) => match T::parse(text) {
                Ok(parsed) => return Ok(parsed),
                Err(fault) => fault,
            },
            other => Fault::new(
                format!("{} where text is expected", described(other)),
                format!("write it in double quotes: \"{}\"", T::FORM),
            ),
        };
        Err(vec![Fault { span: Some(value.span()), ..fault }])
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.text()))
    }
}

impl Value for bool {
    const SECRET: bool = false;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        value.get_ref().as_bool().ok_or_else(|| {
            let cause = format!("{} where true or false is expected", described(value.get_ref()));
            vec![Fault::new(cause, "write true or false, without quotes")]
        })
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A value that may be left out; empty text counts as left out, as templates have it.
impl<T: TextValue> Value for Option<T> {
    const SECRET: bool = <T as TextValue>::SECRET;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        match value.get_ref().as_str() {
            Some("") => Ok(None),
            _ => <T as Value>::read(value).map(Some),
        }
    }

    fn write(&self) -> Option<String> {
        self.as_ref().and_then(Value::write)
    }
}

/// A list, each faulty element named by its own line.
impl<T: TextValue> Value for Vec<T> {
    const SECRET: bool = <T as TextValue>::SECRET;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        /// More is no list a person wrote, and each becomes a firewall rule.
        const LONGEST: usize = 64;
        let Some(array) = value.get_ref().as_array() else {
            let cause = format!("{} where a list is expected", described(value.get_ref()));
            return Err(vec![Fault::new(cause, format!("write it in brackets: [\"{}\"]", T::FORM))]);
        };
        if array.len() > LONGEST {
            let cause = format!("{} elements, more than {LONGEST}", array.len());
            return Err(vec![Fault::new(cause, "join or remove some")]);
        }
        let (mut list, mut faults) = (Vec::new(), Vec::new());
        for element in array {
            match <T as Value>::read(element) {
                Ok(parsed) => list.push(parsed),
                Err(wrong) => faults.extend(wrong),
            }
        }
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    fn write(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().map(|e| quoted(&e.text())).collect::<Vec<_>>().join(", ")))
    }
}

/// A TOML value's type in plain words.
pub(crate) fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
