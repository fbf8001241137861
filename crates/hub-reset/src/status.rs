//! The machine in the words of the snapshot, and trouble in the words of people.

use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

use crate::driver::Driver;
use crate::machine::{Machine, Usable};

/// What to publish.
pub fn report(driver: &Driver, _now: Monotonic) -> Report {
    let machine = driver.machine();
    Report::new(machine.name())
        .field("rungs", rungs(machine))
        .field("incident", machine.incident().map_or(Value::Null, |open| json!(open)))
        .field("stick", machine.target().map_or(Value::Null, |stick| json!(stick)))
        .condition(unswitchable(machine))
        .condition(running(machine))
        .condition(exhausted(machine))
        .condition(held_off(driver))
        .condition(not_durable(machine))
}

fn rungs(machine: &Machine) -> Value {
    let (ledger, service_s) = (machine.ledger(), machine.view().service_s);
    // Whole minutes: a snapshot that changes each second would be written each second.
    let wait = ledger.next(service_s).saturating_sub(service_s).div_ceil(60) * 60_000;
    json!({
        "usb-reset": usable(&machine.usb_reset),
        "power-cycle": usable(&machine.power_cycle),
        "reboot": {"today": ledger.today(service_s), "allowed": wait == 0 && machine.view().durable, "next_ms": wait},
    })
}

fn usable(rung: &Usable) -> Value {
    json!({"usable": rung.usable, "reason": rung.reason})
}

fn unswitchable(machine: &Machine) -> Option<Condition> {
    let rung = &machine.power_cycle;
    let detail = format!(
        "{}. A stick that crashes hard cannot be brought back by a power cycle; USB resets and reboots are what is left",
        rung.reason
    );
    let summary = "the power of the stick's USB port cannot be switched";
    (rung.usable == Some(false))
        .then(|| Condition::new("usb-power-unswitchable", Severity::Info, summary, detail))
}

fn running(machine: &Machine) -> Option<Condition> {
    let incident = machine.incident()?;
    let last = incident.steps.last();
    let doing = last.map_or("nothing yet".to_owned(), |step| format!("rung {}, {}", step.rung, step.action));
    let detail = format!("{}; {doing}. `failberry incidents` shows what was done", incident.cause);
    Some(Condition::new("usb-recovery", Severity::Warning, "the stick is being brought back", detail))
}

fn exhausted(machine: &Machine) -> Option<Condition> {
    let why = machine.denied()?;
    let detail =
        format!("{why}. The other rungs go on, ever more slowly; pull the stick and put it back if you can");
    let summary = "only a reboot is left, and that is not allowed now";
    Some(Condition::new("reboot-budget-exhausted", Severity::Error, summary, detail))
}

fn held_off(driver: &Driver) -> Option<Condition> {
    let off = driver.held()?;
    let detail = format!(
        "{} is off; `hub-reset on` switches it on, and so does an hour or a reboot",
        off.ports.join(", ")
    );
    Some(Condition::new(
        "usb-power-held-off",
        Severity::Warning,
        "a USB port was switched off by hand",
        detail,
    ))
}

fn not_durable(machine: &Machine) -> Option<Condition> {
    let detail =
        "/data is in memory only, so reboots could not be counted, and none is done to bring a stick back";
    let summary = "the ladder has no last rung";
    (!machine.view().durable && machine.view().service_s > 0)
        .then(|| Condition::new("reboots-not-counted", Severity::Warning, summary, detail))
}
