//! Route 53's documents about health checks, written and read.
//!
//! The names and the order of their parts are those of the API's model, version 2013-04-01
//! (`service-2.json` in botocore).

use std::fmt::Write as _;
use std::net::IpAddr;

use roxmltree::Node;

use super::xml::{NAMESPACE, XmlError, document, escape};

/// The type of a check that asks for a page in the clear and looks at its status alone.
pub const HTTP: &str = "HTTP";

/// What is checked, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthConfig {
    /// The address that is asked; none for a check by name, or of other checks.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: Option<u16>,
    /// [`HTTP`], or another.
    pub kind: String,
    /// The page.
    pub path: Option<String>,
    /// Seconds between the questions of one checker.
    pub interval: Option<u32>,
    /// So many answers of one kind in a row change a checker's mind.
    pub threshold: Option<u32>,
    /// Whether it keeps figures of the latency, which costs extra.
    pub latency: bool,
    /// Whether good means bad.
    pub inverted: bool,
    /// Whether it asks nobody and counts as healthy.
    pub disabled: bool,
}

/// A check as the service has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthCheck {
    /// Its id.
    pub id: String,
    /// What its maker called the request that made it.
    pub reference: String,
    /// Counts its changes.
    pub version: u64,
    /// Its settings.
    pub config: HealthConfig,
}

/// A page of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthChecks {
    /// Those on it.
    pub checks: Vec<HealthCheck>,
    /// Where the next begins, if there is one.
    pub next: Option<String>,
}

/// What one checker saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Where in the world it is.
    pub region: String,
    /// What it says: `Success: …`, `Failure: …`.
    pub status: String,
}

impl Observation {
    /// Whether it calls the endpoint healthy. The words begin so in the console and in the API's examples.
    pub fn good(&self) -> bool {
        self.status.starts_with("Success")
    }
}

impl HealthChecks {
    /// Reads a `ListHealthChecksResponse`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(body: &[u8]) -> Result<Self, XmlError> {
        let text = String::from_utf8_lossy(body);
        let document = document(&text)?;
        let root = expect(&document, "ListHealthChecksResponse")?;
        let checks = all(root, "HealthCheck").map(HealthCheck::read).collect::<Result<_, _>>()?;
        let more = text_of(root, "IsTruncated").is_some_and(|text| text == "true");
        let next = text_of(root, "NextMarker").filter(|_| more);
        Ok(Self { checks, next })
    }
}

impl HealthCheck {
    /// Reads the answer to a question for one check, to its making or to its change.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(body: &[u8]) -> Result<Self, XmlError> {
        let text = String::from_utf8_lossy(body);
        let document = document(&text)?;
        let check = all(document.root_element(), "HealthCheck").next();
        check.map_or_else(|| Err(foreign(&document)), Self::read)
    }

    fn read(node: Node<'_, '_>) -> Result<Self, XmlError> {
        let config = all(node, "HealthCheckConfig").next().ok_or(XmlError::Incomplete)?;
        let number = |tag| text_of(config, tag).and_then(|text| text.parse().ok());
        // moto writes True where the service writes true.
        let yes = |tag| text_of(config, tag).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Ok(Self {
            id: text_of(node, "Id").ok_or(XmlError::Incomplete)?,
            reference: text_of(node, "CallerReference").unwrap_or_default(),
            version: text_of(node, "HealthCheckVersion").and_then(|text| text.parse().ok()).unwrap_or(1),
            config: HealthConfig {
                address: text_of(config, "IPAddress").and_then(|text| text.parse().ok()),
                port: text_of(config, "Port").and_then(|text| text.parse().ok()),
                kind: text_of(config, "Type").unwrap_or_default(),
                path: text_of(config, "ResourcePath"),
                interval: number("RequestInterval"),
                threshold: number("FailureThreshold"),
                latency: yes("MeasureLatency"),
                inverted: yes("Inverted"),
                disabled: yes("Disabled"),
            },
        })
    }
}

/// Reads what the checkers saw last, or saw last that was bad.
///
/// # Errors
/// If it is neither.
pub fn observations(body: &[u8]) -> Result<Vec<Observation>, XmlError> {
    let text = String::from_utf8_lossy(body);
    let document = document(&text)?;
    let root = document.root_element();
    if !["GetHealthCheckStatusResponse", "GetHealthCheckLastFailureReasonResponse"]
        .contains(&root.tag_name().name())
    {
        return Err(foreign(&document));
    }
    let one = |node| {
        let region = text_of(node, "Region").unwrap_or_default();
        text_of(node, "Status").map(|status| Observation { region, status })
    };
    Ok(all(root, "HealthCheckObservation").filter_map(one).collect())
}

/// The body that makes a check. The same reference with the same settings makes no second one.
pub fn create(reference: &str, config: &HealthConfig) -> String {
    let mut out = head("CreateHealthCheckRequest");
    put(&mut out, "CallerReference", reference);
    out.push_str("<HealthCheckConfig>");
    place(&mut out, config);
    put(&mut out, "Type", &config.kind);
    page(&mut out, config);
    number(&mut out, "RequestInterval", config.interval);
    number(&mut out, "FailureThreshold", config.threshold);
    out.push_str("</HealthCheckConfig></CreateHealthCheckRequest>");
    out
}

/// The body that changes a check to `config` if it is still of `version`. Type and interval cannot be
/// changed.
pub fn update(version: u64, config: &HealthConfig) -> String {
    let mut out = head("UpdateHealthCheckRequest");
    put(&mut out, "HealthCheckVersion", &version.to_string());
    place(&mut out, config);
    page(&mut out, config);
    number(&mut out, "FailureThreshold", config.threshold);
    put(&mut out, "Inverted", if config.inverted { "true" } else { "false" });
    put(&mut out, "Disabled", if config.disabled { "true" } else { "false" });
    out.push_str("</UpdateHealthCheckRequest>");
    out
}

fn head(what: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{what} xmlns=\"{NAMESPACE}\">")
}

fn place(out: &mut String, config: &HealthConfig) {
    if let Some(address) = config.address {
        put(out, "IPAddress", &address.to_string());
    }
    number(out, "Port", config.port.map(u32::from));
}

fn page(out: &mut String, config: &HealthConfig) {
    if let Some(path) = &config.path {
        put(out, "ResourcePath", path);
    }
}

fn number(out: &mut String, tag: &str, number: Option<u32>) {
    if let Some(number) = number {
        put(out, tag, &number.to_string());
    }
}

fn put(out: &mut String, tag: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "<{tag}>{}</{tag}>", escape(text));
}

fn expect<'a, 'input>(
    document: &'a roxmltree::Document<'input>,
    name: &str,
) -> Result<Node<'a, 'input>, XmlError> {
    let root = document.root_element();
    if root.tag_name().name() == name { Ok(root) } else { Err(foreign(document)) }
}

fn foreign(document: &roxmltree::Document<'_>) -> XmlError {
    XmlError::Foreign(document.root_element().tag_name().name().chars().take(40).collect())
}

fn all<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'a str,
) -> impl Iterator<Item = Node<'a, 'input>> + use<'a, 'input> {
    node.descendants().filter(move |node| node.tag_name().name() == name)
}

/// The text of the first element of this name below `node`.
fn text_of(node: Node<'_, '_>, name: &str) -> Option<String> {
    let text = node.descendants().find(|node| node.tag_name().name() == name)?.text()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In the form of the API reference.
    const LISTED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListHealthChecksResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HealthChecks>
<HealthCheck><Id>abcdef11-2222-3333-4444-555555fedcba</Id><CallerReference>example.com 192.0.2.17</CallerReference>
<HealthCheckConfig><IPAddress>192.0.2.17</IPAddress><Port>80</Port><Type>HTTP</Type>
<ResourcePath>/docs/route-53-health-check.html</ResourcePath><FullyQualifiedDomainName>example.com</FullyQualifiedDomainName>
<RequestInterval>30</RequestInterval><FailureThreshold>3</FailureThreshold><MeasureLatency>true</MeasureLatency>
<Inverted>false</Inverted><EnableSNI>false</EnableSNI></HealthCheckConfig><HealthCheckVersion>2</HealthCheckVersion></HealthCheck>
<HealthCheck><Id>c</Id><CallerReference>r</CallerReference><HealthCheckConfig><Type>CALCULATED</Type>
<HealthThreshold>1</HealthThreshold><ChildHealthChecks><ChildHealthCheck>abc</ChildHealthCheck></ChildHealthChecks>
</HealthCheckConfig><HealthCheckVersion>1</HealthCheckVersion></HealthCheck>
</HealthChecks><IsTruncated>true</IsTruncated><NextMarker>aaa</NextMarker><MaxItems>2</MaxItems></ListHealthChecksResponse>"#;

    #[test]
    fn a_list_of_checks_is_read_with_where_it_goes_on() {
        let page = HealthChecks::parse(LISTED.as_bytes()).unwrap();
        assert_eq!(page.next.as_deref(), Some("aaa"));
        let [first, second] = &page.checks[..] else { panic!("{page:?}") };
        assert_eq!((first.version, first.reference.as_str()), (2, "example.com 192.0.2.17"));
        assert_eq!(first.config.address, Some("192.0.2.17".parse().unwrap()));
        assert_eq!(
            (first.config.port, first.config.interval, first.config.latency),
            (Some(80), Some(30), true)
        );
        assert_eq!((second.config.kind.as_str(), second.config.address), ("CALCULATED", None));
        let last = LISTED.replace("<IsTruncated>true", "<IsTruncated>false");
        assert_eq!(HealthChecks::parse(last.as_bytes()).unwrap().next, None);
    }

    #[test]
    fn what_is_asked_for_has_the_parts_in_the_models_order() {
        let config = HealthConfig {
            address: Some("192.0.2.1".parse().unwrap()),
            port: Some(9000),
            kind: HTTP.into(),
            path: Some("/a&b".into()),
            interval: Some(30),
            threshold: Some(3),
            ..HealthConfig::default()
        };
        let expected = "<CallerReference>r-1</CallerReference><HealthCheckConfig><IPAddress>192.0.2.1</IPAddress>\
            <Port>9000</Port><Type>HTTP</Type><ResourcePath>/a&amp;b</ResourcePath><RequestInterval>30\
            </RequestInterval><FailureThreshold>3</FailureThreshold></HealthCheckConfig></CreateHealthCheckRequest>";
        assert!(create("r-1", &config).ends_with(expected), "{}", create("r-1", &config));
        let expected = "<HealthCheckVersion>7</HealthCheckVersion><IPAddress>192.0.2.1</IPAddress><Port>9000</Port>\
            <ResourcePath>/a&amp;b</ResourcePath><FailureThreshold>3</FailureThreshold><Inverted>false</Inverted>\
            <Disabled>false</Disabled></UpdateHealthCheckRequest>";
        assert!(update(7, &config).ends_with(expected), "{}", update(7, &config));
    }

    #[test]
    fn what_checkers_saw_is_good_or_not() {
        let said = |status: &str| {
            let body = format!(
                "<GetHealthCheckStatusResponse xmlns=\"x\"><HealthCheckObservations><HealthCheckObservation>\
                 <Region>us-east-1</Region><IPAddress>127.0.0.17</IPAddress><StatusReport><Status>{status}</Status>\
                 <CheckedTime>2014-10-28T15:41:58.443Z</CheckedTime></StatusReport></HealthCheckObservation>\
                 </HealthCheckObservations></GetHealthCheckStatusResponse>"
            );
            observations(body.as_bytes()).unwrap().remove(0)
        };
        assert!(said("Success: HTTP Status Code: 200. Resolved IP: 192.0.2.3. OK").good());
        assert!(!said("Failure: HTTP Status Code 503, Service Unavailable.").good());
        assert!(observations(b"<x/>").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..LISTED.len()) {
            let mut damaged = LISTED.as_bytes().to_vec();
            damaged.splice(at..(at + 3).min(LISTED.len()), bytes.iter().copied());
            for body in [&bytes[..], &damaged[..], &LISTED.as_bytes()[..at]] {
                let _ = HealthChecks::parse(body);
                let _ = HealthCheck::parse(body);
                let _ = observations(body);
            }
        }
    }
}
