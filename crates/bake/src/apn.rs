//! The access points of the world's providers, from Debian's `mobile-broadband-provider-info` (XML,
//! 360 kB) to a table the dialer can search without an XML parser.
//!
//! One line a network: its code (MCC and MNC), access point, user, password, authentication method,
//! provider, separated by tabs, sorted by code. Values that could not be configured by hand are
//! dropped here, so that nothing in the table can break out of an AT command.

use std::collections::BTreeMap;
use std::path::Path;

use ::config::{Apn, Text};
use roxmltree::{Document, Node, ParsingOptions};

use crate::error::Error;
use crate::files;

const SOURCE: &str = "usr/share/mobile-broadband-provider-info/serviceproviders.xml";
/// Where the dialer looks.
const TABLE: &str = "usr/share/failberry/apn.tsv";
/// Below this the database is not what it was (that of 2023 has 781 networks): better no image than
/// one that knows nobody.
const FEWEST_NETWORKS: usize = 500;

/// Writes the table if the package is in the image.
///
/// # Errors
/// A database that cannot be read or has shrunk.
pub fn make(root: &Path) -> Result<(), Error> {
    let source = root.join(SOURCE);
    if !source.is_file() {
        return Ok(());
    }
    let table = convert(&files::read(&source)?)
        .map_err(|cause| Error::Invalid(format!("read {}: {cause}", source.display())))?;
    let networks = table.lines().count();
    if networks < FEWEST_NETWORKS {
        return Err(Error::Invalid(format!(
            "read {}: {networks} networks where at least {FEWEST_NETWORKS} are expected",
            source.display()
        )));
    }
    files::write(&root.join(TABLE), table.as_bytes(), 0o644)
}

/// What is known of a network.
struct Access {
    /// Whether the provider owns the network; others rent it and have the same code.
    primary: bool,
    line: String,
}

fn convert(xml: &str) -> Result<String, String> {
    // The file names its DTD; nothing is fetched.
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options).map_err(|error| error.to_string())?;
    let mut networks: BTreeMap<String, Access> = BTreeMap::new();
    for provider in document.descendants().filter(|node| node.has_tag_name("provider")) {
        let Some(gsm) = child(provider, "gsm") else { continue };
        let Some(line) = gsm.children().filter(|node| node.has_tag_name("apn")).find_map(access) else {
            continue;
        };
        let name = text(provider, "name").split_whitespace().collect::<Vec<_>>().join(" ");
        let primary = provider.attribute("primary") == Some("true");
        for code in gsm.children().filter(|node| node.has_tag_name("network-id")).filter_map(code) {
            let better = networks.get(&code).is_none_or(|known| primary && !known.primary);
            if better {
                let line = format!("{code}\t{line}\t{name}\n");
                networks.insert(code, Access { primary, line });
            }
        }
    }
    Ok(networks.into_values().map(|access| access.line).collect())
}

/// A network's code: three digits of country, two or three of network (3GPP TS 23.003 section 2.2).
fn code(network: Node<'_, '_>) -> Option<String> {
    let digits = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (mcc, mnc) = (network.attribute("mcc")?, network.attribute("mnc")?);
    (digits(mcc, &[3]) && digits(mnc, &[2, 3])).then(|| format!("{mcc}{mnc}"))
}

/// Access point, user, password and method of an `<apn>` for the internet; `None` for those of
/// picture messages and portals, and for values that do not fit.
fn access(apn: Node<'_, '_>) -> Option<String> {
    let mut usages = apn.children().filter(|node| node.has_tag_name("usage")).peekable();
    let unsaid = usages.peek().is_none();
    let for_internet = unsaid || usages.any(|usage| usage.attribute("type") == Some("internet"));
    let name: Apn = apn.attribute("value")?.trim().parse().ok()?;
    let credential = |tag| {
        let value = text(apn, tag);
        if value.is_empty() { Some(value) } else { value.parse::<Text>().ok().map(|_| value) }
    };
    let (user, password) = (credential("username")?, credential("password")?);
    let method = child(apn, "authentication").and_then(|node| node.attribute("method")).unwrap_or_default();
    let method = if matches!(method, "pap" | "chap") { method } else { "" };
    for_internet.then(|| format!("{}\t{user}\t{password}\t{method}", name.as_str()))
}

fn child<'node, 'input>(node: Node<'node, 'input>, tag: &str) -> Option<Node<'node, 'input>> {
    node.children().find(|child| child.has_tag_name(tag))
}

fn text(node: Node<'_, '_>, tag: &str) -> String {
    child(node, tag).and_then(|child| child.text()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<?xml version="1.0"?><!DOCTYPE serviceproviders SYSTEM "x.dtd">
        <serviceproviders format="2.0"><country code="zz">
        <provider><name>Guest</name><gsm><network-id mcc="001" mnc="01"/>
          <apn value="guest"><usage type="internet"/></apn></gsm></provider>
        <provider primary="true"><name>Owner	&amp; Sons</name><gsm>
          <network-id mcc="001" mnc="01"/><network-id mcc="001" mnc="002"/><network-id mcc="1" mnc="2"/>
          <apn value="mms"><usage type="mms"/></apn>
          <apn value="bad&quot;name"><usage type="internet"/></apn>
          <apn value="internet"><usage type="internet"/><username>u</username><password>p</password>
            <authentication method="chap"/></apn>
          <apn value="second"><usage type="internet"/></apn></gsm></provider>
        <provider><name>No internet</name><gsm><network-id mcc="001" mnc="03"/>
          <apn value="mms"><usage type="mms"/></apn></gsm></provider>
        <provider><name>Another age</name><cdma/></provider>
        </country></serviceproviders>"#;

    #[test]
    fn the_owner_of_a_network_comes_before_its_guests_and_the_internet_before_the_rest() {
        assert_eq!(
            convert(XML).unwrap(),
            "001002\tinternet\tu\tp\tchap\tOwner & Sons\n00101\tinternet\tu\tp\tchap\tOwner & Sons\n"
        );
    }

    #[test]
    fn a_database_that_is_none_or_has_shrunk_fails_the_bake() {
        let root = tempfile::tempdir().unwrap();
        make(root.path()).unwrap();
        files::write(&root.path().join(SOURCE), XML.as_bytes(), 0o644).unwrap();
        assert!(make(root.path()).unwrap_err().to_string().contains("2 networks"));
        files::write(&root.path().join(SOURCE), b"<html>", 0o644).unwrap();
        assert!(make(root.path()).is_err());
        assert!(!root.path().join(TABLE).exists());
    }
}
