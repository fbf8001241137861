//! The machine in the words of the snapshot, and trouble in the words of people.

use modem_proto::machine::{Machine, PinRefusal, State, Trouble};
use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

/// A failed try or two is the day's business of a cellular link; this many in a row is trouble.
const TROUBLE_AFTER: u32 = 5;
/// So much of the IMEI is enough to tell two sticks apart, and is no identity.
const IMEI_TAIL: usize = 4;

/// What to publish.
pub fn report(machine: &Machine, now: Monotonic) -> Report {
    Report::new(machine.name())
        .condition(machine.trouble(now).map(|trouble| condition(&trouble, machine.attempt())))
        .field("link", link(machine))
        .field("modem", modem(machine))
        .field("network", network(machine))
        .field("attempt", machine.attempt())
        .field("retry_at_ms", retry_at(machine))
}

fn link(machine: &Machine) -> Value {
    let State::Connected { link, .. } = machine.state() else { return Value::Null };
    json!({
        "interface": link.interface,
        "local": link.local,
        "remote": link.remote,
        "dns": link.dns,
        "mtu": link.mtu,
    })
}

fn modem(machine: &Machine) -> Value {
    let Some(modem) = machine.modem() else { return Value::Null };
    let identity = machine.identity();
    let tail = identity.imei.as_ref().map(|imei| &imei[imei.len().saturating_sub(IMEI_TAIL)..]);
    json!({
        "usb_path": modem.usb_path,
        "id": modem.id,
        "model": identity.model.as_ref().unwrap_or(&modem.model),
        "manufacturer": identity.manufacturer,
        "imei_tail": tail,
        "port": machine.port().map(|port| &port.name),
    })
}

fn network(machine: &Machine) -> Value {
    let network = machine.network();
    json!({
        "registration": network.registration.map(modem_proto::parse::Registration::word),
        "operator": network.operator,
        "signal_dbm": network.signal_dbm,
    })
}

fn retry_at(machine: &Machine) -> Value {
    match machine.state() {
        State::Waiting { until } | State::Blocked { until } => json!(until.as_millis()),
        _ => Value::Null,
    }
}

fn condition(trouble: &Trouble, attempt: u32) -> Condition {
    let patient = if attempt >= TROUBLE_AFTER { Severity::Error } else { Severity::Warning };
    let (id, severity, summary, next) = match trouble {
        Trouble::Absent => (
            "modem-absent",
            Severity::Error,
            "no cellular stick found",
            "plug it in; if it is, try another port or a powered hub",
        ),
        Trouble::NoAnswer(_) => {
            ("modem-no-answer", patient, "the stick does not answer", "it is asked again; nothing to do yet")
        }
        Trouble::NoSim(_) => (
            "modem-no-sim",
            Severity::Error,
            "no usable SIM card",
            "put the SIM in, contacts towards the board",
        ),
        Trouble::Locked(_) => (
            "modem-sim-locked",
            Severity::Error,
            "the stick asks for an unlock code",
            "use the provider's SIM, or have the provider unlock the stick",
        ),
        Trouble::PinRequired => (
            "modem-pin-required",
            Severity::Error,
            "the SIM asks for its PIN",
            "set modem.pin in failberry.toml, or switch the PIN off in a phone",
        ),
        Trouble::PinRefused(_) => (
            "modem-pin-refused",
            Severity::Error,
            "the PIN was not accepted",
            "enter the right PIN once in a phone, correct modem.pin in failberry.toml, restart",
        ),
        Trouble::PukRequired => (
            "modem-puk-required",
            Severity::Error,
            "the SIM asks for its PUK",
            "unlock it in a phone with the PUK from the provider's letter",
        ),
        Trouble::NotRegistered(_) => (
            "modem-not-registered",
            patient,
            "no network",
            "try another place or an antenna; searching goes on",
        ),
        Trouble::RoamingOff => (
            "modem-roaming-off",
            Severity::Error,
            "only a foreign network is in reach",
            "set modem.roaming = true in failberry.toml if its price is acceptable",
        ),
        Trouble::RegistrationDenied => (
            "modem-registration-denied",
            Severity::Error,
            "the network refuses this SIM",
            "ask the provider whether the SIM is active",
        ),
        Trouble::AuthRefused(_) => (
            "modem-auth-refused",
            Severity::Error,
            "the provider refuses user and password",
            "check modem.user and modem.password in failberry.toml",
        ),
        Trouble::CallFailed(_) => (
            "modem-call-failed",
            patient,
            "the data call failed",
            "it is dialled again; if this stays, check the APN",
        ),
    };
    Condition::new(id, severity, summary, format!("{}; {next}", words(trouble)))
}

/// Trouble in a few words.
pub fn words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Absent => "no known USB id on the bus".to_owned(),
        Trouble::NoAnswer(detail)
        | Trouble::NoSim(detail)
        | Trouble::AuthRefused(detail)
        | Trouble::CallFailed(detail) => detail.clone(),
        Trouble::Locked(what) => format!("it wants {what}"),
        Trouble::PinRequired => "no PIN is configured".to_owned(),
        Trouble::PinRefused(PinRefusal::Wrong) => "the SIM said it is wrong; it is not sent again".to_owned(),
        Trouble::PinRefused(PinRefusal::FewTries(tries)) => {
            format!("only {tries} tries are left, so it is not sent")
        }
        Trouble::PinRefused(PinRefusal::SentBefore) => {
            "it was sent once and not accepted; it is not sent again".to_owned()
        }
        Trouble::PinRefused(PinRefusal::NotRecorded) => {
            "the try could not be written to disk first, so it is not sent".to_owned()
        }
        Trouble::PukRequired => "too many wrong PINs were entered".to_owned(),
        Trouble::NotRegistered(registration) => {
            let state = registration.map_or("not said", modem_proto::parse::Registration::word);
            format!("registration: {state}")
        }
        Trouble::RoamingOff => "modem.roaming is false".to_owned(),
        Trouble::RegistrationDenied => "registration: denied".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn every_trouble() -> Vec<Trouble> {
        let text = || "x".to_owned();
        vec![
            Trouble::Absent,
            Trouble::NoAnswer(text()),
            Trouble::NoSim(text()),
            Trouble::Locked(text()),
            Trouble::PinRequired,
            Trouble::PinRefused(PinRefusal::Wrong),
            Trouble::PukRequired,
            Trouble::NotRegistered(None),
            Trouble::RoamingOff,
            Trouble::RegistrationDenied,
            Trouble::AuthRefused(text()),
            Trouble::CallFailed(text()),
        ]
    }

    #[test]
    fn every_condition_has_its_page() {
        for trouble in every_trouble() {
            let id = condition(&trouble, 0).id;
            let page =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conditions").join(format!("{id}.md"));
            let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
            assert!(text.starts_with(&format!("# {id}\n")), "{id}");
        }
    }

    #[test]
    fn a_failed_call_or_two_is_a_warning_and_many_are_an_error() {
        let severity = |attempt| condition(&Trouble::CallFailed(String::new()), attempt).severity;
        assert_eq!((severity(1), severity(TROUBLE_AFTER)), (Severity::Warning, Severity::Error));
    }
}
