use super::*;
use crate::notice::Kind;
use proptest::prelude::*;
use snapshot::Severity;
use std::collections::{BTreeMap, BTreeSet};

fn any(_: Channel) -> bool {
    true
}

const BOTH: [Channel; 2] = [Channel::Webhook, Channel::Mail];

fn notice(n: usize) -> Notice {
    Notice::new(Kind::Alert, Severity::Error, "d", &format!("c{n}"), &format!("title {n}"), "text")
}

fn outbox(channels: &[Channel]) -> Outbox {
    Outbox::new(channels, Vec::new(), "box".into())
}

fn failed() -> Outcome {
    Outcome::Failed { why: "no route".into(), retry_after: None }
}

#[test]
fn a_message_stays_until_every_channel_has_it() {
    let mut q = outbox(&BOTH);
    q.push(Stamp::default(), notice(1));
    let now = Monotonic::from_secs(1);
    let (first, message) = q.take(now, any).unwrap();
    assert!(q.take(now, any).is_none(), "one try at a time");
    assert!(q.outcome(now, Outcome::Accepted, 0.0));
    assert_eq!(q.messages().len(), 1);
    let (second, same) = q.take(now, any).unwrap();
    assert_ne!(first, second);
    assert_eq!(message.id, same.id);
    q.outcome(now, Outcome::Accepted, 0.0);
    assert!(q.messages().is_empty());
}

#[test]
fn tries_go_on_for_ever_and_ever_slower() {
    let mut q = outbox(&[Channel::Ntfy]);
    q.push(Stamp::default(), notice(1));
    let mut now = Monotonic::default();
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let due = q.next_deadline(any).unwrap();
        pauses.push(due.since(now).as_secs());
        now = now.max(due);
        q.take(now, any).unwrap();
        q.outcome(now, failed(), 0.0);
    }
    assert_eq!(&pauses[..5], [0, 5, 10, 20, 40]);
    assert_eq!(pauses[39], LONGEST_PAUSE.as_secs());
    assert_eq!(q.undelivered(now).len(), 1);
}

#[test]
fn a_switch_of_the_line_brings_the_next_try_forward() {
    let mut q = outbox(&[Channel::Ntfy]);
    q.push(Stamp::default(), notice(1));
    let now = Monotonic::default();
    for _ in 0..8 {
        let at = q.next_deadline(any).unwrap();
        q.take(at, any).unwrap();
        q.outcome(at, failed(), 0.5);
    }
    assert!(q.next_deadline(any).unwrap() > now + Duration::from_secs(600));
    q.kick(now);
    assert_eq!(q.next_deadline(any), Some(now + AFTER_SWITCH));
}

#[test]
fn after_a_switch_a_channel_that_slept_for_an_hour_is_tried_every_few_seconds_again() {
    let mut q = outbox(&[Channel::Ntfy]);
    q.push(Stamp::default(), notice(1));
    let mut now = Monotonic::default();
    for _ in 0..20 {
        now = now.max(q.next_deadline(any).unwrap());
        q.take(now, any).unwrap();
        q.outcome(now, failed(), 0.0);
    }
    let switched = now + Duration::from_secs(60);
    q.kick(switched);
    let mut tries = Vec::new();
    for _ in 0..4 {
        now = q.next_deadline(any).unwrap();
        tries.push(now.since(switched).as_secs());
        q.take(now, any).unwrap();
        q.outcome(now, failed(), 0.0);
    }
    assert_eq!(tries, [2, 12, 32, 72]);
}

#[test]
fn a_try_that_was_under_way_when_the_line_changed_does_not_undo_the_change() {
    let mut q = outbox(&[Channel::Ntfy]);
    q.push(Stamp::default(), notice(1));
    let mut now = Monotonic::default();
    for _ in 0..20 {
        now = now.max(q.next_deadline(any).unwrap());
        q.take(now, any).unwrap();
        q.outcome(now, failed(), 0.0);
    }
    now = q.next_deadline(any).unwrap();
    q.take(now, any).unwrap();
    q.kick(now);
    let landed = now + Duration::from_secs(70);
    q.outcome(landed, failed(), 0.0);
    assert_eq!(q.next_deadline(any), Some(landed + AFTER_SWITCH));
    // A service that was reached and asks for time gets it.
    let again = landed + AFTER_SWITCH;
    q.take(again, any).unwrap();
    q.kick(again);
    q.outcome(again, Outcome::Failed { why: "429".into(), retry_after: Some(300) }, 0.0);
    assert_eq!(q.next_deadline(any), Some(again + Duration::from_secs(300)));
}

#[test]
fn a_service_that_asks_for_patience_gets_it() {
    assert_eq!(pause(1, Some(120), 0.0), Duration::from_secs(120));
    assert_eq!(pause(1, Some(1 << 60), 0.0), LONGEST_PAUSE);
    assert_eq!(pause(1, None, 1.0), Duration::from_millis(6250));
}

#[test]
fn one_message_nobody_wants_does_not_stop_the_others() {
    let mut q = outbox(&[Channel::Webhook]);
    (0..3).for_each(|n| q.push(Stamp::default(), notice(n)));
    let mut got = BTreeSet::new();
    for _ in 0..6 {
        let at = q.next_deadline(any).unwrap();
        let (_, message) = q.take(at, any).unwrap();
        let outcome = if message.notice.condition == "c0" {
            Outcome::Refused { why: "413".into() }
        } else {
            got.insert(message.notice.condition.clone());
            Outcome::Accepted
        };
        q.outcome(at, outcome, 0.0);
    }
    assert_eq!(got.len(), 2);
    assert_eq!(q.messages().len(), 1, "and it is not lost either");
}

#[test]
fn what_is_too_much_is_folded_and_still_named() {
    let mut q = outbox(&[Channel::Slack]);
    for n in 0..500 {
        q.push(Stamp::default(), notice(n));
        assert!(q.messages().len() <= MOST && q.bytes() <= MOST_BYTES);
    }
    let told: u64 = q.messages().iter().map(|m| m.notice.count()).sum();
    assert_eq!(told, 500);
    assert_eq!(q.messages()[0].notice.kind, Kind::Summary);
    assert_eq!(q.messages().last().unwrap().notice.condition, "c499");
}

#[test]
fn what_is_on_its_way_is_not_folded() {
    let mut q = outbox(&[Channel::Slack]);
    q.push(Stamp::default(), notice(0));
    let (_, flying) = q.take(Monotonic::default(), any).unwrap();
    (1..200).for_each(|n| q.push(Stamp::default(), notice(n)));
    assert_eq!(q.messages()[0].id, flying.id);
    assert!(q.outcome(Monotonic::default(), Outcome::Accepted, 0.0));
    let told: u64 = q.messages().iter().map(|m| m.notice.count()).sum();
    assert_eq!(told, 199);
}

#[test]
fn a_channel_that_must_wait_does_not_stop_another() {
    let mut q = outbox(&BOTH);
    q.push(Stamp::default(), notice(1));
    let mail = |channel| channel == Channel::Mail;
    assert_eq!(q.take(Monotonic::default(), mail).unwrap().0, Channel::Mail);
    q.outcome(Monotonic::default(), Outcome::Accepted, 0.0);
    assert!(q.take(Monotonic::default(), mail).is_none());
    assert_eq!(q.next_deadline(mail), None, "no waiting for what may not be done");
}

#[test]
fn a_channel_that_is_no_longer_configured_is_not_waited_for() {
    let mut q = outbox(&BOTH);
    q.push(Stamp::default(), notice(1));
    let kept = q.messages().to_vec();
    assert_eq!(
        Outbox::new(&[Channel::Mail], kept.clone(), "box".into()).messages()[0].pending,
        [Channel::Mail]
    );
    assert!(Outbox::new(&[Channel::Ntfy], kept, "box".into()).messages().is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    Try(u8),
    Kick,
    /// Power goes after the last write to data: what was kept then is what there is.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Push), 6 => (0..4u8).prop_map(Step::Try), 1 => Just(Step::Kick), 1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..150)
}

proptest! {
    #[test]
    fn whatever_happens_each_message_is_accepted_by_each_channel_under_one_id(steps in steps()) {
        let mut q = outbox(&BOTH);
        let mut kept = Vec::new();
        let mut instance = 0;
        let mut now = Monotonic::default();
        let mut pushed = 0_u64;
        // What the receivers took, by channel and id.
        let mut taken: BTreeMap<(Channel, String), u64> = BTreeMap::new();
        let mut named: BTreeMap<Channel, BTreeSet<String>> = BTreeMap::new();
        let mut attempt = |q: &mut Outbox, at: Monotonic, fate: u8| {
            let Some((channel, message)) = q.take(at, any) else { return };
            let outcome = match fate {
                0 | 1 => Outcome::Accepted,
                2 => failed(),
                _ => Outcome::Refused { why: "no".into() },
            };
            if outcome == Outcome::Accepted {
                *taken.entry((channel, message.id.clone())).or_default() += 1;
                let titles = message.notice.into_items().0.into_iter().map(|item| item.title);
                named.entry(channel).or_default().extend(titles);
            }
            q.outcome(at, outcome, 0.3);
        };
        for step in steps {
            now = now + Duration::from_secs(3);
            match step {
                Step::Push => {
                    q.push(Stamp::default(), notice(usize::try_from(pushed).unwrap()));
                    pushed += 1;
                }
                Step::Try(fate) => {
                    if let Some(at) = q.next_deadline(any) {
                        now = now.max(at);
                        attempt(&mut q, now, fate);
                    }
                }
                Step::Kick => q.kick(now),
                Step::Crash => {
                    // The kernel gives every process another one.
                    instance += 1;
                    q = Outbox::new(&BOTH, kept.clone(), format!("box{instance}"));
                }
            }
            kept = q.messages().to_vec();
        }
        while let Some(at) = q.next_deadline(any) {
            now = now.max(at);
            attempt(&mut q, now, 0);
        }
        prop_assert!(q.messages().is_empty());
        if pushed <= MOST as u64 {
            for channel in BOTH {
                let got = named.get(&channel).map_or(0, BTreeSet::len) as u64;
                prop_assert_eq!(got, pushed, "{:?}", channel);
            }
        }
        // Without a crash between acceptance and its note, nothing arrives twice.
        prop_assert!(taken.values().all(|n| *n == 1));
    }
}
