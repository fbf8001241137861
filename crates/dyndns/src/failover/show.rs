//! Plans and states for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::plan::{CheckStep, Difference, Plan};
use super::status::State;
use super::wanted::Wanted;
use crate::provider::route53::health::HealthConfig;
use crate::provider::route53::xml::RecordSet;

/// One plan for people. `+` is made, `~` changed, `-` goes away, `!` cannot be done, `i` is to be known.
pub fn text(wanted: &Wanted, plan: &Plan) -> String {
    let mut lines = Vec::new();
    match &plan.check {
        Some(CheckStep::Create { config, .. }) => {
            let every = config.interval.unwrap_or_default();
            lines.push(format!("  + health check of {}, every {every} s by each checker", endpoint(config)));
        }
        Some(CheckStep::Update { id, differences, .. }) => {
            lines.push(format!("  ~ health check {id}: {}", listed(differences)));
        }
        None | Some(CheckStep::Keep(_)) => {}
    }
    for step in &plan.records {
        lines.push(match &step.differences {
            None => format!("  + record set {}", set(&step.after)),
            Some(differences) => format!("  ~ record set {}: {}", label(&step.after), listed(differences)),
        });
    }
    for removal in &plan.removals {
        lines.push(format!(
            "  - record without a role ({}): it gives way to the sets above, in one step",
            removal.values.join(", ")
        ));
    }
    lines.extend(plan.blocked.iter().map(|why| format!("  ! {why}")));
    lines.extend(plan.notes.iter().map(|note| format!("  i {note}")));
    if plan.changes() == 0 && plan.blocked.is_empty() {
        lines.push("  as it should be: nothing to do".to_owned());
    }
    format!("{}\n{}\n", heading(wanted), lines.join("\n"))
}

/// So many changes, in words.
pub fn changes(count: usize) -> String {
    if count == 1 { "1 change".to_owned() } else { format!("{count} changes") }
}

/// One plan for programs.
pub fn value(wanted: &Wanted, plan: &Plan) -> Value {
    let check = match &plan.check {
        None => Value::Null,
        Some(CheckStep::Keep(id)) => json!({"action": "keep", "id": id}),
        Some(CheckStep::Create { config, .. }) => json!({"action": "create", "endpoint": endpoint(config)}),
        Some(CheckStep::Update { id, differences, .. }) => {
            json!({"action": "update", "id": id, "differences": differences.iter().map(pair).collect::<Vec<_>>()})
        }
    };
    let records = plan.records.iter().map(|step| {
        let differences = step.differences.as_ref().map(|all| all.iter().map(pair).collect::<Vec<_>>());
        json!({
            "action": if differences.is_some() { "update" } else { "create" },
            "set": step.after.identifier, "role": step.after.failover, "values": step.after.values,
            "ttl": step.after.ttl, "differences": differences,
        })
    });
    let records = records.collect::<Vec<_>>();
    let removals: Vec<_> =
        plan.removals.iter().map(|set| json!({"values": set.values, "ttl": set.ttl})).collect();
    json!({
        "name": plan.name, "type": plan.kind, "account": wanted.account_name, "zone": wanted.account.zone,
        "changes": plan.changes(), "health_check": check, "records": records, "removals": removals,
        "blocked": plan.blocked, "notes": plan.notes,
    })
}

/// The state of one name for people.
pub fn state_text(wanted: &Wanted, state: &State) -> String {
    let mut out = format!("{}\n", heading(wanted));
    // Writing to a String cannot fail.
    for found in &state.sets {
        let check =
            found.health_check.as_deref().map_or_else(String::new, |id| format!(", health check {id}"));
        let _ = writeln!(out, "  record set    {}{check}", set(found));
    }
    if state.sets.is_empty() {
        let _ = writeln!(out, "  record set    none; failberry dns apply makes them");
    }
    if let Some(health) = &state.health {
        let words = match health.healthy() {
            None => "no checker has said anything yet".to_owned(),
            Some(healthy) => format!(
                "{}: {} of {} checkers see it well",
                if healthy { "healthy" } else { "unhealthy" },
                health.good,
                health.all
            ),
        };
        let _ = writeln!(out, "  health check  {words}");
        if let Some(failure) = &health.last_failure {
            let _ = writeln!(out, "  last failure  {failure}");
        }
    }
    for answer in &state.answers {
        let said = match &answer.addresses {
            Ok(addresses) if addresses.is_empty() => "no address".to_owned(),
            Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(why) => format!("no answer: {why}"),
        };
        let _ = writeln!(out, "  resolver      {}: {said}", answer.server);
    }
    let _ = writeln!(out, "  verdict       {}", state.verdict());
    out
}

/// The state of one name for programs.
pub fn state_value(wanted: &Wanted, state: &State) -> Value {
    let sets: Vec<_> = state
        .sets
        .iter()
        .map(|set| {
            json!({
                "set": set.identifier, "role": set.failover, "values": set.values, "ttl": set.ttl,
                "health_check": set.health_check,
            })
        })
        .collect();
    let health = state.health.as_ref().map(|health| {
        json!({
            "id": health.id, "healthy": health.healthy(), "good": health.good, "checkers": health.all,
            "last_failure": health.last_failure,
        })
    });
    let answers: Vec<_> = state
        .answers
        .iter()
        .map(|answer| {
            json!({
                "server": answer.server, "addresses": answer.addresses.as_ref().ok(),
                "error": answer.addresses.as_ref().err(),
            })
        })
        .collect();
    json!({
        "name": wanted.name, "type": wanted.family.record(), "account": wanted.account_name,
        "zone": wanted.account.zone, "records": sets, "health_check": health, "resolvers": answers,
        "fits": state.fits(), "verdict": state.verdict(),
    })
}

fn heading(wanted: &Wanted) -> String {
    format!(
        "{} {} (zone {}, account {})",
        wanted.name,
        wanted.family.record(),
        wanted.account.zone,
        wanted.account_name
    )
}

fn label(set: &RecordSet) -> String {
    set.identifier.clone().unwrap_or_else(|| "without a role".to_owned())
}

fn set(set: &RecordSet) -> String {
    let role = set.failover.as_deref().unwrap_or("no role");
    let ttl = set.ttl.map_or_else(String::new, |ttl| format!(", ttl {ttl} s"));
    format!("{} ({role}): {}{ttl}", label(set), set.values.join(", "))
}

fn endpoint(config: &HealthConfig) -> String {
    let host = config.address.map(|address| match address {
        std::net::IpAddr::V6(address) => format!("[{address}]"),
        std::net::IpAddr::V4(address) => address.to_string(),
    });
    let port = config.port.unwrap_or_default();
    format!("http://{}:{port}{}", host.unwrap_or_default(), config.path.as_deref().unwrap_or("/"))
}

fn listed(differences: &[Difference]) -> String {
    let one = |d: &Difference| format!("{} {} → {}", d.what, d.from, d.to);
    differences.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn pair(difference: &Difference) -> Value {
    json!({"what": difference.what, "from": difference.from, "to": difference.to})
}
