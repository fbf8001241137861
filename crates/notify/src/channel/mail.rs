//! Mail by lettre: STARTTLS or nothing, implicit TLS, or, where that was asked for in so many words,
//! in the clear and without a login.

use std::str::FromStr;
use std::time::SystemTime;

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message, SmtpTransport, Transport};

use super::CONNECT;
use crate::outbox::Outcome;
use crate::outgoing::Outgoing;
use crate::settings::{Security, Target};

pub(super) fn send(target: &Target, message: &Outgoing, own_roots: Option<&[u8]>) -> Outcome {
    let prepared =
        compose(target, message).and_then(|mail| Ok((mail, transport(target, message, own_roots)?)));
    let (mail, transport) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return Outcome::Failed { why, retry_after: None },
    };
    match transport.send(&mail) {
        Ok(_) => Outcome::Accepted,
        Err(error) => judge(&error),
    }
}

fn compose(target: &Target, message: &Outgoing) -> Result<Message, String> {
    let Target::Mail { from, to, .. } = target else { return Err("not a mail target".to_owned()) };
    let address = |text: &str| {
        Address::from_str(text).map_err(|error| format!("the mail address {text}: {error}; correct it"))
    };
    let mut builder: MessageBuilder = Message::builder()
        .from(Mailbox::new(Some(message.name.clone()), address(from)?))
        .subject(message.subject())
        // The same in every try, so that a mailbox keeps one.
        .message_id(Some(format!("<{}@{}>", message.id, host(&message.hostname))))
        .date(sent_at(message));
    for to in to {
        builder = builder.to(Mailbox::new(None, address(to)?));
    }
    let body = format!("{}\n\n{}\n", message.body(), message.link);
    builder
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(body)
        .map_err(|error| format!("write the mail: {error}"))
}

/// The moment it was noticed if that is known, else this clock's time, right or not: a mail must have
/// a date (RFC 5322, 3.6).
fn sent_at(message: &Outgoing) -> SystemTime {
    let noticed = message.time.as_deref().and_then(|time| humantime::parse_rfc3339(time).ok());
    noticed.unwrap_or_else(SystemTime::now)
}

/// A name fit for a Message-ID and for EHLO.
fn host(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if plain { name.to_owned() } else { "failberry".to_owned() }
}

fn transport(target: &Target, message: &Outgoing, own_roots: Option<&[u8]>) -> Result<SmtpTransport, String> {
    let Target::Mail { security, host: server, port, user, password, .. } = target else {
        return Err("not a mail target".to_owned());
    };
    let tls = || {
        let mut parameters = TlsParameters::builder(server.clone());
        if let Some(pem) = own_roots {
            let own = Certificate::from_pem(pem)
                .map_err(|error| format!("read /data/failberry/notify/ca.pem: {error}"))?;
            parameters = parameters.add_root_certificate(own);
        }
        parameters.build_rustls().map_err(|error| format!("tls for {server}: {error}"))
    };
    let tls = match security {
        Security::StartTls => Tls::Required(tls()?),
        Security::Tls => Tls::Wrapper(tls()?),
        Security::Plain => Tls::None,
    };
    let mut builder = SmtpTransport::builder_dangerous(server.clone())
        .port(*port)
        .tls(tls)
        .timeout(Some(CONNECT))
        .hello_name(ClientId::Domain(host(&message.hostname)));
    if let (Some(user), Some(password)) = (user, password)
        && *security != Security::Plain
    {
        builder = builder
            .credentials(Credentials::new(user.clone(), password.clone()))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}

/// What a failure means. A permanent answer (RFC 5321, 4.2.1) may be about the login, the addresses or
/// the message; it is tried again all the same, ever more slowly, because a person may mend it there.
fn judge(error: &lettre::transport::smtp::Error) -> Outcome {
    let text = format!("{error} {error:?}");
    let why = if text.contains("UnknownIssuer") || text.contains("CaUsedAsEndEntity") {
        "tls: the mail server's certificate is of an unknown issuer; put the issuer's into \
         /data/failberry/notify/ca.pem if it is yours"
            .to_owned()
    } else if text.contains("NotValidForName") {
        "tls: the mail server's certificate is for another name".to_owned()
    } else if text.contains("NotValidYet") || text.contains("Expired") {
        "tls: the mail server's certificate is not valid at this clock's time".to_owned()
    } else if error.status().is_some_and(|code| code.to_string().starts_with("53")) {
        format!("the mail server refuses the login; check user and password ({error})")
    } else if error.is_timeout() {
        "the mail server does not answer in time".to_owned()
    } else {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        if cause.is_empty() { error.to_string() } else { format!("{error}: {cause}") }
    };
    let one_line: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if error.is_permanent() && error.status().is_some_and(|code| code.to_string().starts_with("55")) {
        Outcome::Refused { why: one_line }
    } else {
        Outcome::Failed { why: one_line, retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::{message, sender};
    use sysio::Monotonic;

    fn target(to: &[&str]) -> Target {
        Target::Mail {
            security: Security::Tls,
            host: "mail.example".into(),
            port: 465,
            user: None,
            password: None,
            from: "box@example.org".into(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
        }
    }

    #[test]
    fn a_mail_has_the_id_of_its_message_and_letters_of_every_language() {
        let mut out = sender().dress(&message("b1", Some(1_800_000_000)), Monotonic::from_secs(130), None);
        out.title = "Störung: ein sehr langer Titel ".repeat(5);
        out.text = format!("{}\n.\nQUIT", "ü".repeat(600));
        let mail = compose(&target(&["a@example.org", "b@example.org"]), &out).unwrap();
        let raw = String::from_utf8(mail.formatted()).unwrap();
        assert!(raw.contains("Message-ID: <box-7@failberry>"), "{raw}");
        assert!(raw.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000"), "{raw}");
        assert!(raw.contains("a@example.org") && raw.contains("b@example.org"));
        assert!(raw.is_ascii() && raw.lines().all(|line| line.len() <= 998), "{raw}");
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let out = sender().dress(&message("b1", None), Monotonic::from_secs(130), None);
        assert!(compose(&target(&["a b@x"]), &out).unwrap_err().contains("a b@x"));
    }
}
