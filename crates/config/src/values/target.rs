//! Whom the appliance asks to learn how a line is.

use super::{Fault, TextValue};
use std::net::IpAddr;

/// One target as the owner writes it: a kind, whom to ask, then `key=value` options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// How it is asked.
    pub kind: ProbeKind,
    /// An address, or a name to resolve over the line.
    pub host: Host,
    /// The port, where the kind has one; 0 elsewhere.
    pub port: u16,
    /// Whose it is; targets of one operator count as one.
    pub operator: Option<String>,
    /// Where it is, if that matters.
    pub region: Option<String>,
    text: String,
}

/// How a target is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeKind {
    /// An echo.
    Icmp,
    /// A question for a name.
    Dns {
        /// The name; the default one where there is none.
        name: Option<String>,
    },
    /// A page.
    Http {
        /// Path and query.
        path: String,
        /// The status it must have.
        status: u16,
        /// What it must begin with.
        body: String,
    },
    /// A connection that opens.
    Tcp,
    /// A connection in which a TLS server answers.
    Tls {
        /// The server's name, if it is asked by address.
        name: Option<String>,
    },
}

/// An address or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A name.
    Name(String),
}

const KINDS: &str = "begin with icmp, dns, http, tcp or tls: \"icmp 1.1.1.1 operator=cloudflare\"";
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
const DNS_PORT: u16 = 53;
/// A line of a configuration, with room to spare.
const LONGEST: usize = 400;

impl ProbeTarget {
    /// The target without its options: what it is called in reports.
    pub fn name(&self) -> String {
        self.text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }
}

impl TextValue for ProbeTarget {
    const FORM: &'static str = "icmp 1.1.1.1 operator=cloudflare";

    fn parse(text: &str) -> Result<Self, Fault> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if text.len() > LONGEST || !printable {
            let cause = format!("longer than {LONGEST} characters, or with others than plain ASCII");
            return Err(Fault::new(cause, KINDS));
        }
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default();
        if !["icmp", "dns", "http", "tcp", "tls"].contains(&kind) {
            return Err(Fault::new(format!("\"{kind}\" is no kind of probe"), KINDS));
        }
        let whom = words.next().ok_or_else(|| Fault::new("nobody to ask", KINDS))?;
        let mut options = Options::read(kind, words)?;
        let (host, port, kind) = match kind {
            "icmp" => (host(whom)?, 0, ProbeKind::Icmp),
            "dns" => (host(whom)?, DNS_PORT, ProbeKind::Dns { name: options.name()? }),
            "tcp" => {
                let (host, port) = endpoint(whom, None)?;
                (host, port, ProbeKind::Tcp)
            }
            "tls" => {
                let (host, port) = endpoint(whom, Some(HTTPS_PORT))?;
                (host, port, ProbeKind::Tls { name: options.name()? })
            }
            _ => page(whom, &mut options)?,
        };
        let Options { operator, region, .. } = options;
        Ok(Self { kind, host, port, operator, region, text: text.to_owned() })
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

#[derive(Default)]
struct Options {
    operator: Option<String>,
    region: Option<String>,
    name: Option<String>,
    status: Option<u16>,
    body: Option<String>,
}

impl Options {
    fn read<'a>(kind: &str, words: impl Iterator<Item = &'a str>) -> Result<Self, Fault> {
        let mut options = Self::default();
        for word in words {
            let (key, value) = word
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| Fault::new(format!("\"{word}\" is no option"), hint(kind)))?;
            match (key, kind) {
                ("operator", _) => options.operator = Some(value.to_owned()),
                ("region", _) => options.region = Some(value.to_owned()),
                ("name", "dns" | "tls") => options.name = Some(value.to_owned()),
                ("body", "http") => options.body = Some(value.to_owned()),
                ("status", "http") => {
                    let code = value.parse().ok().filter(|c| (100..600).contains(c));
                    let wrong = || Fault::new(format!("status {value} is none"), "write 100 to 599");
                    options.status = Some(code.ok_or_else(wrong)?);
                }
                _ => return Err(Fault::new(format!("{kind} has no option \"{key}\""), hint(kind))),
            }
        }
        Ok(options)
    }

    fn name(&mut self) -> Result<Option<String>, Fault> {
        self.name.take().map(|name| domain(&name)).transpose()
    }
}

fn hint(kind: &str) -> String {
    let own = match kind {
        "http" => ", status=, body=",
        "dns" | "tls" => ", name=",
        _ => "",
    };
    format!("there are operator=, region={own}")
}

fn page(url: &str, options: &mut Options) -> Result<(Host, u16, ProbeKind), Fault> {
    const FORM: &str = "write http://host/path; https is asked for with tls, without a page";
    let rest = url.strip_prefix("http://").ok_or_else(|| Fault::new("not an http:// address", FORM))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = endpoint(authority, Some(HTTP_PORT))?;
    let path = if path.is_empty() { "/" } else { path }.to_owned();
    let status = options.status.unwrap_or(200);
    Ok((host, port, ProbeKind::Http { path, status, body: options.body.take().unwrap_or_default() }))
}

/// `host:port`, `[2001:db8::1]:port`, or a host alone where there is a usual port.
fn endpoint(text: &str, usual: Option<u16>) -> Result<(Host, u16), Fault> {
    let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !bare_v6 && !text.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let form = || Fault::new("no port", "write host:port, with brackets around IPv6: [2001:db8::1]:443");
    let port = match port {
        Some(port) => port.parse().ok().filter(|p| *p != 0).ok_or_else(form)?,
        None => usual.ok_or_else(form)?,
    };
    Ok((host(name)?, port))
}

fn host(text: &str) -> Result<Host, Fault> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match bare.parse() {
        Ok(address) => Ok(Host::Address(address)),
        Err(_) => domain(text).map(Host::Name),
    }
}

/// A name in the DNS (RFC 1123, 2.1), at least two labels: one alone is somebody's local name.
pub(super) fn domain(text: &str) -> Result<String, Fault> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if text.len() <= 253 && text.contains('.') && !digits && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("\"{text}\" is neither an address nor a name"), "1.1.1.1 or dns.example.org"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> ProbeTarget {
        ProbeTarget::parse(text).unwrap_or_else(|f| panic!("{text}: {}", f.cause))
    }

    #[test]
    fn every_kind_is_read() {
        let icmp = target("icmp 1.1.1.1 operator=cloudflare");
        assert_eq!((icmp.kind, icmp.host), (ProbeKind::Icmp, Host::Address([1, 1, 1, 1].into())));
        assert_eq!(icmp.operator.as_deref(), Some("cloudflare"));
        let dns = target("dns 2620:fe::fe name=example.org region=eu");
        assert_eq!((dns.port, dns.region.as_deref()), (53, Some("eu")));
        assert_eq!(dns.kind, ProbeKind::Dns { name: Some("example.org".to_owned()) });
        let http = target("http http://a.example:8080/x?y=1 status=204 body=ok");
        let path = "/x?y=1".to_owned();
        assert_eq!(http.kind, ProbeKind::Http { path, status: 204, body: "ok".to_owned() });
        assert_eq!((http.host.clone(), http.port), (Host::Name("a.example".to_owned()), 8080));
        assert_eq!(http.name(), "http http://a.example:8080/x?y=1");
        assert_eq!(target("tls [2001:db8::1]:8443").port, 8443);
        assert_eq!(target("tls 2001:db8::1").port, 443);
        assert_eq!(target("tcp host.example:22").port, 22);
    }

    #[test]
    fn a_mistake_is_named_with_what_to_write() {
        for (text, part) in [
            ("ping 1.1.1.1", "no kind"),
            ("icmp", "nobody"),
            ("icmp router", "neither an address nor a name"),
            ("icmp 300.1.1.1", "neither"),
            ("tcp 1.1.1.1", "no port"),
            ("tcp 1.1.1.1:0", "no port"),
            ("http https://example.org/", "http://"),
            ("http http://example.org/ status=99", "status"),
            ("icmp 1.1.1.1 status=200", "no option"),
            ("icmp 1.1.1.1 cloudflare", "no option"),
            ("dns 1.1.1.1 name=nodots", "neither"),
            ("icmp 1.1.1.1\toperator=x", "ASCII"),
        ] {
            let fault = ProbeTarget::parse(text).expect_err(text);
            assert!(fault.cause.contains(part), "{text}: {}", fault.cause);
            assert!(!fault.hint.is_empty());
        }
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let text = "http http://example.org/success.txt body=success operator=x";
        assert_eq!(target(text).text(), text);
    }
}
