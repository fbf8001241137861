//! The machine in the words of the snapshot, and trouble in the words of people.

use modem_proto::machine::{Form, LinkKind, Machine, Recovery, State, Step, Stick, Stuck, Trouble};
use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

/// A failed try or two is the day's business of a cellular link; this many in a row is trouble.
const TROUBLE_AFTER: u32 = 5;
const ON_REQUEST: &str = "modem-dialled-on-request";
const QUIRKS: &str = "modem-quirks-invalid";
const CONFIGURATION: &str = "modem-config-kept";
const CARD_OVERLAP: &str = "modem-card-overlap";
/// So much of the IMEI is enough to tell two sticks apart, and is no identity.
const IMEI_TAIL: usize = 4;

/// What is wrong outside the machine.
#[derive(Clone, Debug, Default)]
pub struct Complaints {
    /// Files of `hardware/modems` that could not be used.
    pub quirks: Vec<String>,
    /// Why the configuration in use is not the newest.
    pub configuration: Option<String>,
    /// Which interface has addresses of the stick's own network.
    pub card_overlap: Option<String>,
}

/// What to publish.
pub fn report(
    machine: &Machine,
    traffic: (Option<u64>, Option<u64>),
    complaints: &Complaints,
    now: Monotonic,
) -> Report {
    Report::new(machine.name())
        .condition(machine.trouble(now).map(|trouble| condition(&trouble, machine.attempt())))
        .condition(machine.stuck().map(stuck_condition))
        .condition(machine.dialled_on_request().then(on_request_condition))
        .condition(quirks_condition(&complaints.quirks))
        .condition(complaints.configuration.as_deref().map(configuration_condition))
        .condition(complaints.card_overlap.as_deref().map(overlap_condition))
        .field("link", link(machine, traffic))
        .field("modem", modem(machine))
        .field("modems", modems(machine))
        .field("network", network(machine))
        .field("attempt", machine.attempt())
        .field("retry_at_ms", retry_at(machine))
        .field("stuck", machine.stuck().map_or(Value::Null, stuck))
        .field("recovery", machine.recovery().map_or(Value::Null, recovery))
}

fn link(machine: &Machine, (rx_bytes, tx_bytes): (Option<u64>, Option<u64>)) -> Value {
    let State::Connected { link, .. } = machine.state() else { return Value::Null };
    json!({
        "interface": link.interface,
        "kind": match link.kind {
            LinkKind::Ppp => "ppp",
            LinkKind::NetworkCard => "network-card",
        },
        "local": link.local,
        "remote": link.remote,
        "ipv6": link.ipv6.map(|(local, remote)| json!({"local": local, "remote": remote})),
        "dns": link.dns,
        "mtu": link.mtu,
        "rx_bytes": rx_bytes,
        "tx_bytes": tx_bytes,
    })
}

fn modem(machine: &Machine) -> Value {
    let Some(stick) = machine.modem() else { return Value::Null };
    let identity = machine.identity();
    let tail = identity.imei.as_ref().map(|imei| &imei[imei.len().saturating_sub(IMEI_TAIL)..]);
    json!({
        "usb_path": stick.usb_path,
        "id": stick.id,
        "kind": match stick.form {
            Form::NetworkCard { .. } => "network-card",
            Form::Serial { .. } | Form::CdRom => "serial",
        },
        "model": identity.model.as_ref().unwrap_or(&stick.model),
        "manufacturer": identity.manufacturer,
        "imei_tail": tail,
        "port": machine.port().map(|port| &port.name),
    })
}

fn modems(machine: &Machine) -> Value {
    let chosen = machine.chosen().map(|stick| &stick.usb_path);
    let one = |stick: &Stick| {
        json!({
            "usb_path": stick.usb_path,
            "id": stick.id,
            "model": stick.model,
            "chosen": chosen == Some(&stick.usb_path),
        })
    };
    machine.sticks().iter().map(one).collect()
}

fn network(machine: &Machine) -> Value {
    let network = machine.network();
    json!({
        "registration": network.registration.map(modem_proto::parse::Registration::word),
        "operator": network.operator,
        "operator_code": network.operator_code,
        "technology": network.technology,
        "signal_dbm": network.signal_dbm,
        "measured_ms": network.measured_ms,
    })
}

fn retry_at(machine: &Machine) -> Value {
    match machine.state() {
        State::Waiting { until } | State::Blocked { until } => json!(until.as_millis()),
        _ => Value::Null,
    }
}

fn stuck(stuck: &Stuck) -> Value {
    json!({
        "usb_path": stuck.usb_path,
        "id": stuck.id,
        "since_ms": stuck.since.as_millis(),
        "reason": stuck.reason,
    })
}

fn recovery(recovery: &Recovery) -> Value {
    let step = |step: &Step| {
        json!({
            "rung": step.rung,
            "action": step.action,
            "started_ms": step.started.as_millis(),
            "ended_ms": step.ended.map(Monotonic::as_millis),
            "outcome": step.outcome,
        })
    };
    json!({
        "since_ms": recovery.since.as_millis(),
        "cause": recovery.cause,
        "steps": recovery.steps.iter().map(step).collect::<Vec<_>>(),
        "dropped": recovery.dropped,
        "ended_ms": recovery.ended.map(Monotonic::as_millis),
    })
}

fn stuck_condition(stuck: &Stuck) -> Condition {
    let detail = format!(
        "{} at USB path {}: {}; hub-reset resets it, nothing to do yet",
        stuck.id, stuck.usb_path, stuck.reason
    );
    Condition::new("modem-stuck", Severity::Warning, "the stick needs a reset from outside", detail)
}

fn on_request_condition() -> Condition {
    let detail =
        "the wired line works; the call ends an hour after it was asked for, or by the request hangup";
    Condition::new(ON_REQUEST, Severity::Info, "the stick is dialled because somebody asked for it", detail)
}

fn quirks_condition(problems: &[String]) -> Option<Condition> {
    if problems.is_empty() {
        return None;
    }
    let detail = format!("{}; these files are left out, correct or remove them", problems.join("; "));
    Some(Condition::new(QUIRKS, Severity::Warning, "a file about a stick cannot be used", detail))
}

fn configuration_condition(error: &str) -> Condition {
    let detail = format!("{error}; the one in use is kept");
    Condition::new(CONFIGURATION, Severity::Warning, "the new configuration cannot be used", detail)
}

fn overlap_condition(words: &str) -> Condition {
    let detail = format!(
        "{words}; give one of them another network, on the stick's own page or in the router at home"
    );
    Condition::new(
        CARD_OVERLAP,
        Severity::Warning,
        "the stick's network and the LAN have the same addresses",
        detail,
    )
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
            ("modem-no-answer", patient, "the stick does not answer", "it is asked again, nothing to do yet")
        }
        Trouble::NoSim(_) => (
            "modem-no-sim",
            Severity::Error,
            "no usable SIM card",
            "put the SIM in, contacts towards the board",
        ),
        Trouble::SimFailed(_) => (
            "modem-sim-failed",
            patient,
            "the SIM card does not work",
            "the stick is restarted; if this stays, clean the contacts or try the SIM in a phone",
        ),
        Trouble::OtherStick(_) => (
            "modem-other-stick",
            Severity::Error,
            "the configured stick is not there",
            "plug it in, or change modem.usb-path or modem.imei in failberry.toml",
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
            "correct modem.pin in failberry.toml; if it is right, enter it once in a phone, then: failberry modem forget-pin",
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
            "check modem.user, modem.password and modem.auth in failberry.toml",
        ),
        Trouble::CallFailed(_) => {
            ("modem-call-failed", patient, "the data call failed", "if this stays, check the APN")
        }
    };
    Condition::new(id, severity, summary, format!("{trouble}; {next}"))
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
            Trouble::SimFailed(text()),
            Trouble::OtherStick(text()),
            Trouble::Locked(text()),
            Trouble::PinRequired,
            Trouble::PinRefused(modem_proto::machine::PinRefusal::Wrong),
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
        let of_troubles = every_trouble().into_iter().map(|trouble| condition(&trouble, 0).id);
        let others = ["modem-stuck", ON_REQUEST, QUIRKS, CONFIGURATION, CARD_OVERLAP].map(str::to_owned);
        for id in of_troubles.chain(others) {
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
