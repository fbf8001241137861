//! Values that say who is told about trouble, and where numbers are sent.

use super::dialling::choice;
use super::{Fault, Faults, TextValue, Value, described};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

choice! {
    /// From which severity on a condition is told.
    MinSeverity, default Warning, hint "write \"info\", \"warning\" or \"error\"" {
        /// Everything.
        Info = "info",
        /// What does not work as it should.
        Warning = "warning",
        /// What does not work.
        Error = "error",
    }
}

/// An address of the web; longer ones are no address a service gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// Longest, in bytes.
    pub const LONGEST: usize = 1024;

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for WebUrl {
    const FORM: &'static str = "https://example.org/path";

    fn parse(text: &str) -> Result<Self, Fault> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        // RFC 3986, 2: an address holds neither blanks nor control nor non-ASCII characters.
        let plain = text.bytes().all(|b| b.is_ascii_graphic()) && text.len() <= Self::LONGEST;
        match host {
            Some(host) if plain && !host.is_empty() && !host.contains('@') => Ok(Self(text.to_owned())),
            Some(host) if host.contains('@') => {
                Err(Fault::new("a name or password in the address", "use the key for the token instead"))
            }
            _ => Err(Fault::new("not an address of the web", "write https://, the host, and the path")),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS by STARTTLS, or nothing is sent (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// In the clear, and never with a password.
    Plain,
}

impl MailSecurity {
    const ALL: [(&'static str, Self, u16); 3] =
        [("smtp", Self::StartTls, 587), ("smtps", Self::Tls, 465), ("smtp-plain", Self::Plain, 25)];
}

/// A mail server: `smtp://user@host:587`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// How it is spoken to.
    pub security: MailSecurity,
    /// Who logs in, if anybody.
    pub user: Option<String>,
    /// Its name or address.
    pub host: String,
    /// Its port; 587, 465 or 25 where none is given.
    pub port: u16,
}

impl TextValue for MailServer {
    const FORM: &'static str = "smtp://me@mail.example.org:587";

    fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |cause: &str| Fault::new(cause, "write smtp://user@host:587, or smtps:// for port 465");
        if text.len() > 512 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("blanks, foreign letters, or too long"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("not a mail server's address"))?;
        let (_, security, usual) = MailSecurity::ALL
            .into_iter()
            .find(|(word, ..)| *word == scheme)
            .ok_or_else(|| wrong("not smtp, smtps or smtp-plain"))?;
        // The name of a login is often a mail address: the last @ is the one before the host.
        let (user, place) =
            rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user.to_owned()), place));
        let (host, port) = split_port(place.trim_end_matches('/'));
        let port = match port {
            None => usual,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("not a port"))?,
        };
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(wrong("no host"));
        }
        if user.as_deref() == Some("") || (user.is_some() && security == MailSecurity::Plain) {
            let hint = "use smtp:// or smtps://: a password is never sent in the clear";
            return Err(Fault::new("a login that cannot be used", hint));
        }
        Ok(Self { security, user, host: host.to_owned(), port })
    }

    fn text(&self) -> String {
        let word = MailSecurity::ALL.iter().find(|(_, s, _)| *s == self.security).map_or("smtp", |(w, ..)| w);
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{word}://{user}{}:{}", bracketed(&self.host), self.port)
    }
}

/// A mail address, as far as it can be told without sending one: something, an @, and a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAddress(String);

impl MailAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for MailAddress {
    const FORM: &'static str = "me@example.org";

    fn parse(text: &str) -> Result<Self, Fault> {
        let sound = text.len() <= 254 // RFC 5321, 4.5.3.1.3, without the brackets
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;:\\\"()[]".contains(&b))
            && text.rsplit_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !who.contains('@'));
        if sound {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new("not a mail address", "write it bare, such as \"me@example.org\""))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A host and a port: `graphite.lan:2003`, `[fd00::1]:2003`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl TextValue for HostPort {
    const FORM: &'static str = "graphite.lan:2003";

    fn parse(text: &str) -> Result<Self, Fault> {
        let (host, port) = split_port(text);
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let sound = (1..=253).contains(&host.len())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:_".contains(&b));
        match port {
            Some(port) if sound => Ok(Self { host: host.to_owned(), port }),
            _ => Err(Fault::new("not a host and a port", format!("write it as \"{}\"", Self::FORM))),
        }
    }

    fn text(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// The first part of every name that Graphite gets: words of letters, digits, `-` and `_`, by dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricPrefix(String);

impl MetricPrefix {
    /// The prefix, without a dot at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MetricPrefix {
    fn default() -> Self {
        Self("failberry".to_owned())
    }
}

impl TextValue for MetricPrefix {
    const FORM: &'static str = "failberry";

    fn parse(text: &str) -> Result<Self, Fault> {
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if text.len() <= 100 && text.split('.').all(word) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new("not a prefix", "write words of letters and digits, joined by dots"))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A number of seconds within bounds, with its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait<const LEAST: u32, const MOST: u32, const USUAL: u32>(u32);

impl<const LEAST: u32, const MOST: u32, const USUAL: u32> Wait<LEAST, MOST, USUAL> {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl<const LEAST: u32, const MOST: u32, const USUAL: u32> Default for Wait<LEAST, MOST, USUAL> {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl<const LEAST: u32, const MOST: u32, const USUAL: u32> Value for Wait<LEAST, MOST, USUAL> {
    const SECRET: bool = false;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        let fault = |cause: String| {
            let hint = format!("write a number of seconds from {LEAST} to {MOST}");
            vec![Fault { span: Some(value.span()), ..Fault::new(cause, hint) }]
        };
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(fault(format!("{} where a number is expected", described(value.get_ref()))));
        };
        let seconds = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fits = seconds.filter(|seconds| (LEAST..=MOST).contains(seconds));
        fits.map(Self).ok_or_else(|| fault("out of range".to_owned()))
    }

    fn write(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// `host:port`, `[::1]:port` or a host alone.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, after.strip_prefix(':'));
    }
    text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_says_how_it_is_spoken_to() {
        let server = MailServer::parse("smtp://me@example.org@mail.example.org").unwrap();
        assert_eq!(server.user.as_deref(), Some("me@example.org"));
        assert_eq!((server.host.as_str(), server.port), ("mail.example.org", 587));
        assert_eq!(MailServer::parse("smtps://mail.example.org").unwrap().port, 465);
        assert_eq!(MailServer::parse("smtp-plain://[fd00::1]").unwrap().host, "fd00::1");
        for text in ["smtp://a@b:25", "smtps://[2001:db8::1]:465", "smtp-plain://mail.lan:2525"] {
            assert_eq!(MailServer::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn a_password_never_goes_in_the_clear() {
        assert!(MailServer::parse("smtp-plain://me@mail.lan").is_err());
        assert!(WebUrl::parse("https://me:geheim@example.org/").is_err());
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for bad in ["", "mail.lan", "imap://x", "smtp://", "smtp://h:0", "smtp://h:x", "smtp://a b"] {
            assert!(MailServer::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "ftp://x", "https://", "https:///x", "https://a b", "https://ä"] {
            assert!(WebUrl::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "x", "@x", "x@", "a@b@c", "a@b>\r\nRCPT", "x y@z"] {
            assert!(MailAddress::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "x", "x:", "x:0", ":1", "x y:1"] {
            assert!(HostPort::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(HostPort::parse("[fd00::1]:2003").unwrap().text(), "[fd00::1]:2003");
        assert!(MetricPrefix::parse("a..b").is_err() && MetricPrefix::parse("house.attic").is_ok());
    }
}
