//! Plans against a model of Route 53 as its reference describes it: whatever is there, whenever it is cut
//! off, a second run finds nothing to do and others' things are as they were.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::apply::apply;
use super::plan::{CheckStep, Found, plan, reference};
use super::service::{Created, Service, ServiceError};
use super::wanted::{Line, Wanted, check};
use super::{CELLULAR_SET, WIRED_SET};
use crate::provider::route53::health::{HealthCheck, HealthConfig};
use crate::provider::route53::xml::{Accepted, Action, Change, RecordSet};
use crate::provider::route53::{Account, URL};
use crate::talk::Family;

const NAME: &str = "h.example.org";
const ADDRESSES: [&str; 3] = ["203.0.113.5", "203.0.113.6", "198.51.100.7"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wanted(wired: Line, cellular: Line) -> Wanted {
    let account = Account {
        url: URL.into(),
        zone: "Z1".into(),
        key_id: "AK".into(),
        secret: "sec-ret".into(),
        set: None,
        failover: true,
    };
    let (name, account_name) = (NAME.into(), "aws".into());
    Wanted { name, family: Family::V4, ttl: 60, account_name, account, wired, cellular }
}

fn both() -> Wanted {
    wanted(Line::At(ip(ADDRESSES[0])), Line::At(ip(ADDRESSES[2])))
}

/// What AWS would have.
#[derive(Clone, Debug, Default)]
struct Aws {
    sets: Vec<RecordSet>,
    checks: Vec<HealthCheck>,
    /// References of checks that were deleted.
    used: BTreeSet<String>,
    made: u32,
    /// Requests that change something until the line is cut, and whether the last one still arrives.
    cut: Option<(u32, bool)>,
}

fn refused(why: &str) -> ServiceError {
    ServiceError::Refused { operation: "model", code: why.into(), why: why.into() }
}

impl Aws {
    fn found(&self) -> Found {
        Found { sets: self.sets.clone(), checks: self.checks.clone() }
    }

    /// Runs `change` unless the line is cut before it; says whether its answer is lost.
    fn step<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        match self.cut {
            Some((0, arrives)) => {
                if arrives {
                    let _ = change(self);
                }
                Err(refused("cut"))
            }
            Some((left, arrives)) => {
                self.cut = Some((left - 1, arrives));
                change(self)
            }
            None => change(self),
        }
    }

    /// The rules of `ChangeResourceRecordSets` for one name and type, and for CNAME beside others.
    fn valid(&self) -> Result<(), ServiceError> {
        for set in &self.sets {
            let rest: Vec<_> =
                self.sets.iter().filter(|s| s.name == set.name && !std::ptr::eq(*s, set)).collect();
            if set.kind == "CNAME" && !rest.is_empty() {
                return Err(refused("CNAME beside others"));
            }
            let alike = rest.iter().filter(|s| s.kind == set.kind);
            for other in alike {
                let policy =
                    |s: &RecordSet| (s.identifier.is_some(), s.failover.is_some(), s.foreign.clone());
                if policy(set) != policy(other) || set.identifier.is_none() {
                    return Err(refused("two routing policies"));
                }
                if set.identifier == other.identifier || set.failover == other.failover {
                    return Err(refused("two of one role"));
                }
            }
        }
        Ok(())
    }
}

impl Service for Aws {
    fn sets(&mut self, _: &str) -> Result<Vec<RecordSet>, ServiceError> {
        Ok(self.sets.clone())
    }

    fn checks(&mut self) -> Result<Vec<HealthCheck>, ServiceError> {
        Ok(self.checks.clone())
    }

    fn create_check(&mut self, reference: &str, config: &HealthConfig) -> Result<Created, ServiceError> {
        self.step(|aws| {
            if let Some(there) = aws.checks.iter().find(|check| check.reference == reference) {
                let same = there.config == *config;
                return Ok(if same { Created::Made(there.clone()) } else { Created::Taken });
            }
            if aws.used.contains(reference) {
                return Ok(Created::Taken);
            }
            aws.made += 1;
            let id = format!("made-{}", aws.made);
            let check = HealthCheck { id, reference: reference.into(), version: 1, config: config.clone() };
            aws.checks.push(check.clone());
            Ok(Created::Made(check))
        })
    }

    fn update_check(&mut self, id: &str, version: u64, config: &HealthConfig) -> Result<(), ServiceError> {
        self.step(|aws| {
            let check = aws.checks.iter_mut().find(|check| check.id == id);
            let check = check.ok_or_else(|| refused("NoSuchHealthCheck"))?;
            if check.version != version {
                return Err(refused("HealthCheckVersionMismatch"));
            }
            let (kind, interval) = (check.config.kind.clone(), check.config.interval);
            check.config = HealthConfig { kind, interval, ..config.clone() };
            check.version += 1;
            Ok(())
        })
    }

    fn change(&mut self, changes: &[Change]) -> Result<Accepted, ServiceError> {
        self.step(|aws| {
            let mut after = aws.clone();
            for Change { action, set } in changes {
                let place = after.sets.iter().position(|there| {
                    (&there.name, &there.kind, &there.identifier) == (&set.name, &set.kind, &set.identifier)
                });
                if let Some(id) = set.health_check.as_ref().filter(|_| *action != Action::Delete)
                    && !after.checks.iter().any(|check| check.id == *id)
                {
                    return Err(refused("NoSuchHealthCheck"));
                }
                match (action, place) {
                    (Action::Delete, Some(place)) if after.sets[place] == *set => {
                        after.sets.remove(place);
                    }
                    (Action::Upsert, Some(place)) => after.sets[place] = set.clone(),
                    (Action::Upsert | Action::Create, None) => after.sets.push(set.clone()),
                    _ => return Err(refused("InvalidChangeBatch")),
                }
            }
            after.valid()?;
            *aws = after;
            Ok(Accepted { id: "/change/C1".into(), synced: false })
        })
    }
}

fn simple(value: &str) -> RecordSet {
    RecordSet { values: vec![value.into()], ..RecordSet::simple(NAME, "A", 300) }
}

fn role(identifier: &str, role: &str, value: &str, check: Option<&str>) -> RecordSet {
    RecordSet {
        identifier: Some(identifier.into()),
        failover: Some(role.into()),
        health_check: check.map(str::to_owned),
        ttl: Some(60),
        ..simple(value)
    }
}

fn ours(number: u32, config: HealthConfig) -> HealthCheck {
    let id = format!("ours-{number}");
    let reference = format!("{}{number}", reference("Z1", NAME, "A"));
    HealthCheck { id, reference, version: 4, config }
}

/// Others' things: they must be there afterwards as they were.
fn strangers() -> Aws {
    let other = |name: &str, kind: &str| RecordSet {
        values: vec!["192.0.2.1".into()],
        ..RecordSet::simple(name, kind, 60)
    };
    let check = |id: &str, reference: &str| HealthCheck {
        id: id.into(),
        reference: reference.into(),
        version: 1,
        config: check(ip("192.0.2.1")),
    };
    Aws {
        sets: vec![other("www.example.org", "A"), other("example.org", "NS"), other(NAME, "TXT")],
        checks: vec![
            check("theirs", "by-hand"),
            check("other-name", &format!("{}1", reference("Z1", "x.example.org", "A"))),
        ],
        ..Aws::default()
    }
}

fn apply_once(aws: &mut Aws, wanted: &Wanted) -> usize {
    let plan = plan(wanted, &aws.found());
    apply(&plan, aws).unwrap_or_else(|error| panic!("{error}: {plan:#?}"));
    plan.changes()
}

#[test]
fn an_empty_zone_gets_a_check_and_two_sets_and_a_second_run_finds_nothing_to_do() {
    let mut aws = strangers();
    assert_eq!(apply_once(&mut aws, &both()), 3);
    let primary = aws.sets.iter().find(|set| set.failover.as_deref() == Some("PRIMARY")).unwrap();
    assert_eq!(primary.health_check.as_deref(), Some("made-1"));
    assert_eq!(aws.checks[2].config, check(ip(ADDRESSES[0])));
    let secondary = aws.sets.iter().find(|set| set.failover.as_deref() == Some("SECONDARY")).unwrap();
    assert_eq!((secondary.values[0].as_str(), secondary.health_check.clone()), (ADDRESSES[2], None));
    assert_eq!(apply_once(&mut aws, &both()), 0);
}

#[test]
fn a_simple_record_gives_way_in_the_same_step() {
    let mut aws = Aws { sets: vec![simple("203.0.113.99")], ..Aws::default() };
    let plan = plan(&both(), &aws.found());
    assert_eq!((plan.removals.len(), plan.records.len()), (1, 2));
    apply(&plan, &mut aws).unwrap();
    assert!(aws.sets.iter().all(|set| set.identifier.is_some()));
    assert_eq!(apply_once(&mut aws, &both()), 0);
}

#[test]
fn what_others_made_of_the_name_is_in_the_way_and_stays() {
    let cname = RecordSet { kind: "CNAME".into(), ..simple("elsewhere.example.org.") };
    let alias = RecordSet { foreign: Some("AliasTarget".into()), values: vec![], ..simple("") };
    let weighted =
        RecordSet { foreign: Some("Weight".into()), failover: None, ..role("blue", "", "192.0.2.1", None) };
    for (set, word) in [
        (cname, "CNAME"),
        (alias, "AliasTarget"),
        (weighted, "Weight"),
        (role("by-hand", "PRIMARY", "192.0.2.1", None), "set=by-hand"),
    ] {
        let mut aws = Aws { sets: vec![set.clone()], ..Aws::default() };
        let plan = plan(&both(), &aws.found());
        assert!(plan.blocked.len() == 1 && plan.blocked[0].contains(word), "{word}: {:?}", plan.blocked);
        assert_eq!(plan.changes(), 0);
        apply(&plan, &mut aws).unwrap();
        assert!(aws.sets == [set] && aws.checks.is_empty());
    }
}

#[test]
fn a_cellular_line_nobody_reaches_leaves_the_first_set_alone_and_names_the_cure() {
    let why = "is shared; ask for an access point (apn)".to_owned();
    let wanted = wanted(Line::At(ip(ADDRESSES[0])), Line::Unreachable(ip("100.64.1.2"), why));
    let mut aws = Aws::default();
    let first = plan(&wanted, &aws.found());
    assert!(
        first.blocked[0].contains("100.64.1.2") && first.blocked[0].contains("apn"),
        "{:?}",
        first.blocked
    );
    apply(&first, &mut aws).unwrap();
    assert_eq!(aws.sets.len(), 1);
    let second = plan(&wanted, &aws.found());
    assert_eq!((second.changes(), second.blocked.len()), (0, 1));
}

#[test]
fn without_the_wired_address_nothing_new_is_made_and_what_is_there_is_still_mended() {
    let nowhere = || Line::Unknown("no address now".into());
    let wanted = wanted(nowhere(), nowhere());
    assert_eq!(plan(&wanted, &Found::default()).changes(), 0);
    assert_eq!(plan(&wanted, &Found::default()).blocked.len(), 2);
    // The check was deleted: another is made at the address the record has.
    let mut aws =
        Aws { sets: vec![role(WIRED_SET, "PRIMARY", ADDRESSES[1], Some("gone"))], ..Aws::default() };
    aws.used.insert(format!("{}1", reference("Z1", NAME, "A")));
    assert_eq!(apply_once(&mut aws, &wanted), 2);
    assert_eq!(aws.checks[0].config.address, Some(ip(ADDRESSES[1])));
    assert!(aws.checks[0].reference.ends_with("-2"), "{}", aws.checks[0].reference);
}

#[test]
fn what_cannot_be_changed_of_a_check_takes_a_new_one() {
    let fast = HealthConfig { interval: Some(10), ..check(ip(ADDRESSES[0])) };
    let mut aws = Aws {
        sets: vec![role(WIRED_SET, "PRIMARY", ADDRESSES[0], Some("ours-1"))],
        checks: vec![ours(1, fast)],
        ..Aws::default()
    };
    let plan = plan(&both(), &aws.found());
    assert!(matches!(plan.check, Some(CheckStep::Create { first: 2, .. })), "{:?}", plan.check);
    assert!(plan.notes.iter().any(|note| note.contains("ours-1")), "{:?}", plan.notes);
    apply(&plan, &mut aws).unwrap();
    assert_eq!(aws.sets[0].health_check.as_deref(), Some("made-1"));
    assert_eq!(apply_once(&mut aws, &both()), 0);
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        4 => (0..3usize).prop_map(|at| Line::At(ip(ADDRESSES[at]))),
        1 => Just(Line::Unknown("unknown".to_owned())),
        1 => Just(Line::Unreachable(ip("100.64.1.2"), "is shared".to_owned())),
    ]
}

fn config() -> impl Strategy<Value = HealthConfig> {
    (0..3usize, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(at, fast, https, disabled, port)| HealthConfig {
            interval: Some(if fast { 10 } else { 30 }),
            kind: if https { "HTTPS" } else { "HTTP" }.into(),
            disabled,
            port: Some(if port { 9000 } else { 80 }),
            ..check(ip(ADDRESSES[at]))
        },
    )
}

/// Some state of the name that AWS allows, beside others' things.
fn state() -> impl Strategy<Value = Aws> {
    let check_id = prop::option::of(prop::sample::select(vec!["ours-1", "ours-2", "theirs", "gone"]));
    let set = (0..3usize, any::<bool>(), check_id);
    let kinds = (0..4u8, set.clone(), set, any::<bool>());
    (kinds, prop::collection::vec(config(), 0..3), prop::collection::btree_set(1..6u32, 0..4)).prop_map(
        |((kind, first, second, swapped), configs, used)| {
            let mut aws = strangers();
            let roles = if swapped { ["SECONDARY", "PRIMARY"] } else { ["PRIMARY", "SECONDARY"] };
            let one =
                |identifier: &str, at: usize, (value, ttl, check): (usize, bool, Option<&str>)| RecordSet {
                    ttl: Some(if ttl { 60 } else { 300 }),
                    ..role(identifier, roles[at], ADDRESSES[value], check)
                };
            match kind {
                0 => aws.sets.push(simple(ADDRESSES[first.0])),
                1 => aws.sets.push(one(WIRED_SET, 0, first)),
                2 => aws.sets.extend([one(WIRED_SET, 0, first), one(CELLULAR_SET, 1, second)]),
                _ => {}
            }
            for (number, config) in (1..).zip(configs) {
                aws.checks.push(ours(number, config));
            }
            let there: Vec<_> = aws.checks.iter().map(|check| check.reference.clone()).collect();
            let used = used.iter().map(|number| format!("{}{number}", reference("Z1", NAME, "A")));
            aws.used = used.filter(|reference| !there.contains(reference)).collect();
            aws
        },
    )
}

proptest! {
    #[test]
    fn cut_off_anywhere_it_is_mended_by_the_next_run_and_then_nothing_is_left(
        aws in state(), wired in line(), cellular in line(), cut in prop::option::of((0..4u32, any::<bool>())),
    ) {
        prop_assume!(aws.valid().is_ok());
        let wanted = wanted(wired, cellular);
        let mine = |check: &HealthCheck| check.reference.starts_with(&reference("Z1", NAME, "A"));
        let others = |aws: &Aws| {
            let sets: Vec<_> = aws.sets.iter().filter(|s| s.kind != "A" || !s.name.starts_with("h.")).cloned().collect();
            let checks: Vec<_> = aws.checks.iter().filter(|check| !mine(check)).cloned().collect();
            (sets, checks)
        };
        let before = others(&aws);
        let had = aws.checks.iter().filter(|check| mine(check)).count();
        let mut after = Aws { cut, ..aws };
        let _ = apply(&plan(&wanted, &after.found()), &mut after);
        after.cut = None;
        apply_once(&mut after, &wanted);
        let last = plan(&wanted, &after.found());
        prop_assert_eq!(last.changes(), 0, "{:#?}", last);
        prop_assert_eq!(others(&after), before);
        let has = after.checks.iter().filter(|check| mine(check)).count();
        prop_assert!(has <= had + 1, "{} checks became {}", had, has);
        if let (Line::At(address), true) = (&wanted.wired, last.check.is_some()) {
            let first = after.sets.iter().find(|set| set.identifier.as_deref() == Some(WIRED_SET)).unwrap();
            prop_assert_eq!(&first.values, &vec![address.to_string()]);
            prop_assert_eq!(first.failover.as_deref(), Some("PRIMARY"));
            let used = after.checks.iter().find(|check| Some(&check.id) == first.health_check.as_ref()).unwrap();
            prop_assert!(mine(used));
            prop_assert_eq!(&used.config, &check(*address));
            // Both unhealthy at once would be no failover.
            let second = after.sets.iter().find(|set| set.identifier.as_deref() == Some(CELLULAR_SET));
            prop_assert!(second.is_none_or(|set| matches!(set.health_check.as_deref(), None | Some("theirs"))));
        }
    }
}
