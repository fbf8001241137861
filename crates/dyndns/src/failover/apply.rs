//! Makes the difference, in an order that a cut at any point leaves mendable: the health check first,
//! then all record sets of a name in one step. What was made before the cut is found by its reference.

use super::WIRED_SET;
use super::plan::{CheckStep, Plan};
use super::service::{Created, Service, ServiceError};
use crate::provider::route53::xml::{Accepted, Action, Change, RecordSet};

/// References that belonged to deleted checks are refused for some days; so often nobody deletes one.
const MOST_REFERENCES: u32 = 16;

/// Does it. Says what the change of the records is asked for by, if there was one.
///
/// # Errors
/// If the service refuses; then the rest is not done, and planning again shows what is left.
pub fn apply(plan: &Plan, service: &mut dyn Service) -> Result<Option<Accepted>, ServiceError> {
    let made = match &plan.check {
        None | Some(CheckStep::Keep(_)) => None,
        Some(CheckStep::Update { id, version, config, .. }) => {
            service.update_check(id, *version, config)?;
            None
        }
        Some(CheckStep::Create { config, first }) => Some(create(plan, *first, config, service)?),
    };
    let removals = plan.removals.iter().map(|set| Change { action: Action::Delete, set: set.clone() });
    let records = plan.records.iter().map(|step| {
        let is_first = step.after.identifier.as_deref() == Some(WIRED_SET);
        let health_check = made.clone().filter(|_| is_first).or_else(|| step.after.health_check.clone());
        Change { action: Action::Upsert, set: RecordSet { health_check, ..step.after.clone() } }
    });
    let changes: Vec<Change> = removals.chain(records).collect();
    if changes.is_empty() { Ok(None) } else { service.change(&changes).map(Some) }
}

fn create(
    plan: &Plan,
    first: u32,
    config: &crate::provider::route53::health::HealthConfig,
    service: &mut dyn Service,
) -> Result<String, ServiceError> {
    for number in first..first.saturating_add(MOST_REFERENCES) {
        if let Created::Made(check) = service.create_check(&format!("{}{number}", plan.reference), config)? {
            return Ok(check.id);
        }
    }
    Err(ServiceError::UsedUp(MOST_REFERENCES))
}
