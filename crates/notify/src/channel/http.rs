//! A POST by ureq with rustls, and what its answer means.
//!
//! The roots are Mozilla's, compiled in (`webpki-roots`): Debian's `ca-certificates` would bring the
//! openssl command into the image. A certificate of one's own comes from data.

use std::io::Read;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::{CONNECT, LIMIT, Post};
use crate::outbox::Outcome;

/// So much of an answer is read, for its words of error; a service may send what it likes.
const SAID: u64 = 512;

pub(super) fn post(post: &Post, own_roots: Option<&[u8]>) -> Outcome {
    match attempt(post, RootCerts::WebPki) {
        Err(error) if is_foreign_issuer(&error) => match own_roots.map(certificates) {
            None => failed(&error),
            Some(Ok(own)) => {
                attempt(post, RootCerts::new_with_certs(&own)).unwrap_or_else(|error| failed(&error))
            }
            Some(Err(why)) => Outcome::Failed { why, retry_after: None },
        },
        answer => answer.unwrap_or_else(|error| failed(&error)),
    }
}

fn attempt(post: &Post, roots: RootCerts) -> Result<Outcome, ureq::Error> {
    let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        // A proxy is not for a box whose environment nobody sets.
        .proxy(None)
        // A redirect of a POST is a GET somewhere else: never what was meant.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(LIMIT))
        .user_agent(concat!("failberry-notify/", env!("CARGO_PKG_VERSION")))
        .build();
    let mut request = Agent::new_with_config(config).post(&post.url);
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let mut response = request.send(&post.body[..])?;
    let status = response.status().as_u16();
    let header = response.headers().get("retry-after");
    let retry_after = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut said = Vec::new();
    if status >= 300 {
        // What cannot be read of it is not worth another error.
        let _ = response.body_mut().as_reader().take(SAID).read_to_end(&mut said);
    }
    Ok(judge(status, retry_after, &String::from_utf8_lossy(&said)))
}

/// What a status means (RFC 9110, 15).
fn judge(status: u16, retry_after: Option<u64>, said: &str) -> Outcome {
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let printable: String = first.chars().filter(|c| !c.is_control()).take(160).collect();
    let words = if printable.is_empty() { String::new() } else { format!(" ({})", printable.trim()) };
    let failed = |why: String| Outcome::Failed { why, retry_after };
    match status {
        200..=299 => Outcome::Accepted,
        300..=399 => {
            failed(format!("http status {status}: the service has moved; configure its new address"))
        }
        // Of this message's content, not of the address or the login.
        400 | 413 | 415 | 422 => Outcome::Refused {
            why: format!("http status {status}: the service does not want this message{words}"),
        },
        401 | 403 => failed(format!(
            "http status {status}: the service refuses the login; check token and address{words}"
        )),
        404 | 410 => failed(format!("http status {status}: there is no such address; check it{words}")),
        429 => failed(format!("http status {status}: too many messages; trying again later{words}")),
        _ => failed(format!("http status {status}; trying again{words}")),
    }
}

fn is_foreign_issuer(error: &ureq::Error) -> bool {
    let text = error_text(error);
    text.contains("UnknownIssuer") || text.contains("CaUsedAsEndEntity")
}

/// An error's words; rustls comes wrapped in errors of reading and writing.
fn error_text(error: &ureq::Error) -> String {
    format!("{error} {error:?}")
}

fn failed(error: &ureq::Error) -> Outcome {
    let text = error_text(error);
    let why = if is_foreign_issuer(error) {
        "tls: the server's certificate is of an unknown issuer; put the issuer's into \
         /data/failberry/notify/ca.pem if it is yours"
            .to_owned()
    } else if text.contains("NotValidYet") {
        "tls: the server's certificate is not valid yet by this clock; waiting for the right time".to_owned()
    } else if text.contains("Expired") {
        "tls: the server's certificate has expired, or this clock is wrong".to_owned()
    } else if text.contains("NotValidForName") {
        "tls: the server's certificate is for another name".to_owned()
    } else {
        match error {
            ureq::Error::HostNotFound => "the service's name cannot be resolved".to_owned(),
            ureq::Error::Timeout(phase) => format!("no answer in time ({phase})"),
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        }
    };
    Outcome::Failed { why, retry_after: None }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let own = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(format!("read /data/failberry/notify/ca.pem: {error}"))),
    };
    parse_pem(pem).filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_message_itself_is_a_refusal() {
        assert_eq!(judge(204, None, ""), Outcome::Accepted);
        for status in [400, 413, 422] {
            assert!(matches!(judge(status, None, ""), Outcome::Refused { .. }), "{status}");
        }
        for status in [301, 307, 401, 403, 404, 408, 429, 500, 503] {
            assert!(matches!(judge(status, None, ""), Outcome::Failed { .. }), "{status}");
        }
    }

    #[test]
    fn a_services_words_are_bounded_and_one_line() {
        let Outcome::Failed { why, retry_after } =
            judge(503, Some(9), &format!("\n\n{}\nmore", "x".repeat(500)))
        else {
            panic!("failed")
        };
        assert!(why.len() < 250 && !why.contains('\n'), "{why}");
        assert_eq!(retry_after, Some(9));
    }
}
