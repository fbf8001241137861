//! The access point by the SIM's provider, for those who did not configure one.
//!
//! The table comes from Debian's `mobile-broadband-provider-info`; `crates/bake/src/apn.rs` makes it.
//! Its values go through the same types as the configuration: whatever is in the file, nothing in it
//! can end an AT command or pppd's options.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use ::config::{Apn, Secret, Text};
use sysio::Root;

/// One line a network: code, access point, user, password, method, provider, separated by tabs.
const TABLE: &str = "/usr/share/failberry/apn.tsv";
/// It has 28 kB.
const LARGEST: u64 = 1024 * 1024;
/// An IMSI begins with the country's three digits and the network's two or three (3GPP TS 23.003
/// section 2.2). How many, only the table knows: the longer code is the more special.
const CODE_LENGTHS: [usize; 2] = [6, 5];

/// How to get into a provider's network.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The access point.
    pub apn: Apn,
    /// User, if the provider wants one.
    pub user: Option<Text>,
    /// Password, if the provider wants one.
    pub password: Option<Secret<Text>>,
    /// How they are to be sent, if the provider takes only one way.
    pub method: Option<Method>,
    /// The provider's name, for people.
    pub provider: String,
}

/// A way to send user and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Readable (RFC 1334).
    Pap,
    /// As a response to a challenge (RFC 1994).
    Chap,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({}, {})", self.apn.as_str(), self.provider)
    }
}

/// Looks an IMSI, or a network's code of five or six digits, up.
///
/// `Ok(None)` if nobody knows the provider.
///
/// # Errors
/// If there is no table, or it cannot be read.
pub fn lookup(root: &Root, imsi_or_code: &str) -> io::Result<Option<Access>> {
    let mut table = String::new();
    File::open(root.path(TABLE))?.take(LARGEST).read_to_string(&mut table)?;
    Ok(find(&table, imsi_or_code))
}

fn find(table: &str, imsi_or_code: &str) -> Option<Access> {
    if !imsi_or_code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    CODE_LENGTHS.iter().find_map(|length| {
        let code = imsi_or_code.get(..*length)?;
        table.lines().find_map(|line| access(line.strip_prefix(code)?.strip_prefix('\t')?))
    })
}

fn access(fields: &str) -> Option<Access> {
    let mut fields = fields.split('\t');
    let apn = fields.next()?.parse().ok()?;
    let (user, password) = (fields.next()?, fields.next()?);
    let method = match fields.next()? {
        "pap" => Some(Method::Pap),
        "chap" => Some(Method::Chap),
        _ => None,
    };
    Some(Access {
        apn,
        user: optional(user)?,
        password: optional(password)?,
        method,
        provider: fields.next()?.to_owned(),
    })
}

/// `None` if it does not fit, `Some(None)` if there is nothing.
fn optional<T: std::str::FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "00101\tinternet\tweb\tsecret\tchap\tTest PLMN\n\
                         001010\tspecial\t\t\t\tLonger\n\
                         26201\tbad\"name\t\t\t\tInjection\n\
                         26202\tx\t\t\t\n\
                         310260\tfast\t\t\tpap\tBig\n";

    fn apn(code: &str) -> Option<String> {
        find(TABLE, code).map(|access| access.apn.as_str().to_owned())
    }

    #[test]
    fn the_longer_code_wins_and_the_shorter_is_tried_next() {
        assert_eq!(apn("001010123456789").as_deref(), Some("special"));
        assert_eq!(apn("001011123456789").as_deref(), Some("internet"));
        assert_eq!(apn("00101").as_deref(), Some("internet"));
        assert_eq!(apn("310260000000000").as_deref(), Some("fast"));
        assert_eq!(apn("31026"), None);
        assert_eq!(apn("99999000000000"), None);
    }

    #[test]
    fn user_and_password_come_along_and_do_not_show() {
        let access = find(TABLE, "00101").unwrap();
        assert_eq!(access.user.as_ref().map(Text::as_str), Some("web"));
        assert_eq!(access.password.as_ref().map(|password| password.expose().as_str()), Some("secret"));
        assert_eq!(access.method, Some(Method::Chap));
        assert!(!format!("{access:?}").contains("secret"), "{access:?}");
    }

    #[test]
    fn what_does_not_fit_is_as_good_as_nothing() {
        for code in ["262010000000000", "262020000000000", "", "1", "26\u{e4}01", "+CIMI", "0010"] {
            assert_eq!(apn(code), None, "{code:?}");
        }
        assert!(lookup(&Root::at("/nonexistent"), "00101").is_err());
    }
}
