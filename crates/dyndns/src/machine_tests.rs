//! What the machine promises: news soon, everything else rarely, and an end when told to stop.

use super::*;
use proptest::prelude::*;

const UNIX: u64 = 1_800_000_000;
const A: &str = "192.0.2.1";
const B: &str = "198.51.100.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn view(address: &str, now: Monotonic) -> View {
    View { address: Some(ip(address)), unix: Some(UNIX + now.since_boot().as_secs()), ready: true }
}

fn told(address: &str) -> Memory {
    Memory {
        told: Some(Told { wanted: ip(address), address: ip(address), unix: Some(UNIX) }),
        ..Memory::default()
    }
}

/// A world around a machine: a provider and a DNS that do as they are set to.
struct World {
    machine: Machine,
    now: Monotonic,
    address: &'static str,
    provider: fn(IpAddr) -> Verdict,
    dns: Option<Vec<IpAddr>>,
    tells: Vec<(u64, IpAddr)>,
    resolves: usize,
}

fn good(address: IpAddr) -> Verdict {
    Verdict::Changed { address }
}

impl World {
    fn new(memory: Memory, address: &'static str) -> Self {
        let now = Monotonic::from_secs(100);
        let machine = Machine::new(memory, true, now);
        let dns = Some(vec![ip(A)]);
        Self { machine, now, address, provider: good, dns, tells: Vec::new(), resolves: 0 }
    }

    /// Plays `seconds`, second by second.
    fn play(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            let view = view(self.address, self.now);
            match self.machine.look(self.now, &view) {
                Some(Action::Tell(address)) => {
                    self.tells.push((self.now.since_boot().as_secs(), address));
                    self.machine.told(self.now, view.unix, &(self.provider)(address), 128);
                }
                Some(Action::Resolve) => {
                    self.resolves += 1;
                    let answer = self.dns.clone();
                    self.machine.resolved(self.now, view.unix, answer.as_deref().ok_or(()));
                }
                None => {}
            }
        }
    }
}

#[test]
fn a_reboot_is_no_reason_to_tell_anything() {
    let mut world = World::new(told(A), A);
    world.play(24 * 3600);
    assert!(world.tells.is_empty(), "{:?}", world.tells);
    assert!(world.resolves > 10);
}

#[test]
fn what_the_dns_has_already_is_adopted_when_nothing_is_known() {
    let mut world = World::new(Memory::default(), A);
    world.play(3600);
    assert!(world.tells.is_empty());
    assert_eq!(world.machine.memory().told.as_ref().unwrap().address, ip(A));
}

#[test]
fn failover_and_failback_are_told_within_five_seconds() {
    let mut world = World::new(told(A), A);
    world.play(600);
    world.address = B;
    let left = world.now.since_boot().as_secs();
    world.play(10);
    assert_eq!(world.tells.len(), 1);
    assert!(world.tells[0].0 - left <= 5 && world.tells[0].1 == ip(B));
    world.play(5);
    world.address = A;
    let back = world.now.since_boot().as_secs();
    world.play(10);
    assert_eq!(world.tells.len(), 2);
    assert!(world.tells[1].0 - back <= 5 && world.tells[1].1 == ip(A));
}

#[test]
fn a_line_that_flaps_does_not_hammer() {
    let mut world = World::new(told(A), A);
    for _ in 0..240 {
        world.address = B;
        world.play(8);
        world.address = A;
        world.play(7);
    }
    // An hour: five in ten minutes at most.
    assert!(world.tells.len() <= 5 * 6 + 5, "{}", world.tells.len());
    world.play(700);
    assert_eq!(world.machine.memory().told.as_ref().unwrap().address, ip(A));
}

#[test]
fn who_says_stop_is_never_asked_again_whatever_happens() {
    let mut world = World::new(told(A), B);
    world.provider = |_| Verdict::stop("abuse", "blocked");
    world.play(3600);
    world.address = A;
    world.play(3600);
    world.address = "203.0.113.9";
    world.play(3600);
    assert_eq!(world.tells.len(), 1);
    assert!(matches!(world.machine.trouble(world.now), Some(Trouble::Stopped(s)) if s.code == "abuse"));
    // A reboot changes nothing.
    let mut again = World::new(world.machine.memory().clone(), B);
    again.play(24 * 3600);
    assert!(again.tells.is_empty());
}

#[test]
fn a_stop_is_forgotten_when_a_person_says_so_and_tried_once() {
    let mut world = World::new(told(A), B);
    world.provider = |_| Verdict::stop("abuse", "blocked");
    world.play(3600);
    // Not mended: the next word to stop counts as much as the first.
    assert!(world.machine.forget(world.now));
    world.play(3600);
    assert_eq!(world.tells.len(), 2);
    assert!(world.machine.memory().stopped.is_some());
    // Mended; also when the address is the one that was told before all this.
    world.provider = good;
    world.address = A;
    world.play(10);
    assert!(world.machine.forget(world.now));
    world.play(3600);
    assert_eq!(world.tells.len(), 3);
    assert_eq!((world.machine.state(), world.machine.memory().stopped.clone()), ("current", None));
    // There is nothing to forget, and so nothing is told.
    assert!(!world.machine.forget(world.now));
    world.play(3600);
    assert_eq!(world.tells.len(), 3);
}

#[test]
fn a_wait_that_the_provider_asked_for_outlasts_a_persons_impatience() {
    let mut world = World::new(told(A), B);
    world.provider = |_| Verdict::later("911", Duration::from_secs(600));
    world.play(60);
    assert!(world.machine.forget(world.now));
    world.play(500);
    assert_eq!(world.tells.len(), 1);
    world.play(60);
    assert_eq!(world.tells.len(), 2);
}

#[test]
fn a_provider_in_trouble_is_left_alone_for_as_long_as_it_asks_even_after_a_reboot() {
    let mut world = World::new(told(A), B);
    world.provider = |_| Verdict::later("911", Duration::from_secs(600));
    world.play(60);
    assert_eq!(world.tells.len(), 1);
    // Another address and another boot are no excuse.
    world.address = "203.0.113.9";
    world.play(400);
    assert_eq!(world.tells.len(), 1);
    let memory = world.machine.memory().clone();
    let mut again = World::new(memory, B);
    let until = again.machine.memory().hold.unwrap() - UNIX;
    again.now = Monotonic::from_secs(100);
    again.play(until - 101);
    assert!(again.tells.is_empty(), "{:?} {until}", again.tells);
    again.play(3);
    assert_eq!(again.tells.len(), 1);
}

#[test]
fn failures_back_off_and_never_end() {
    let mut world = World::new(told(A), B);
    world.provider = |_| Verdict::later("no route", Duration::ZERO);
    world.play(24 * 3600);
    let gaps: Vec<u64> = world.tells.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(gaps[0] >= 30 && gaps[0] <= 40, "{gaps:?}");
    assert!(gaps.windows(2).all(|w| w[1] >= w[0]), "{gaps:?}");
    assert!(*gaps.last().unwrap() <= 3600 * 5 / 4 && gaps.len() > 20, "{gaps:?}");
    assert!(matches!(world.machine.trouble(world.now), Some(Trouble::Failing { .. })));
    world.provider = good;
    world.play(2 * 3600);
    assert_eq!(world.machine.trouble(world.now), None);
    assert_eq!(world.machine.state(), "current");
}

#[test]
fn a_name_is_refreshed_before_providers_drop_it() {
    let mut world = World::new(told(A), A);
    world.machine.memory.told.as_mut().unwrap().unix = Some(UNIX - REFRESH + 1000);
    world.play(1500);
    assert_eq!(world.tells.len(), 1);
    world.play(24 * 3600);
    assert_eq!(world.tells.len(), 1);
}

#[test]
fn a_clock_that_was_wrong_makes_no_refresh() {
    for unix in [None, Some(UNIX + 400 * 24 * 3600)] {
        let mut world = World::new(told(A), A);
        world.machine.memory.told.as_mut().unwrap().unix = unix;
        world.play(3600);
        assert!(world.tells.is_empty());
        assert!(world.machine.memory().told.as_ref().unwrap().unix.unwrap() < UNIX + 24 * 3600);
    }
}

#[test]
fn a_dns_that_differs_is_repaired_ever_more_rarely_and_named() {
    let mut world = World::new(told(A), A);
    world.dns = Some(vec![ip(B)]);
    world.play(7 * 24 * 3600);
    assert!((3..=13).contains(&world.tells.len()), "{}", world.tells.len());
    let gaps: Vec<u64> = world.tells.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(*gaps.last().unwrap() >= 20 * 3600, "{gaps:?}");
    assert_eq!(world.machine.trouble(world.now), Some(Trouble::NotServed { found: vec![ip(B)] }));
}

#[test]
fn a_provider_that_has_it_already_is_not_told_twice_a_day() {
    let mut world = World::new(told(B), A);
    world.provider = |address| Verdict::Same { address };
    world.dns = Some(vec![ip(B)]);
    world.play(3 * 24 * 3600);
    let gaps: Vec<u64> = world.tells.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap >= 24 * 3600), "{gaps:?}");
}

#[test]
fn a_dns_that_does_not_answer_changes_nothing() {
    let mut world = World::new(told(A), A);
    world.dns = None;
    world.play(24 * 3600);
    assert!(world.tells.is_empty());
    assert_eq!(world.machine.trouble(world.now), None);
}

#[test]
fn an_address_nobody_can_reach_is_never_told_and_named() {
    for (bad, expected) in [("100.64.3.4", Reach::CarrierNat), ("10.0.0.2", Reach::Private)] {
        let mut world = World::new(told(A), bad);
        world.play(3600);
        assert!(world.tells.is_empty());
        let trouble = Trouble::Unreachable { address: ip(bad), reach: expected };
        assert_eq!(world.machine.trouble(world.now), Some(trouble));
    }
}

#[test]
fn a_provider_that_sees_another_address_is_told_once_and_named() {
    let mut world = World::new(told(A), B);
    world.provider = |_| Verdict::Changed { address: ip("203.0.113.77") };
    world.dns = Some(vec![ip("203.0.113.77")]);
    world.play(600);
    assert_eq!(world.tells.len(), 1);
    let trouble = Trouble::Translated { ours: ip(B), seen: ip("203.0.113.77") };
    assert_eq!(world.machine.trouble(world.now), Some(trouble));
}

#[test]
fn without_a_line_or_a_clock_nothing_is_tried_and_nothing_is_lost() {
    let mut machine = Machine::new(told(A), true, Monotonic::from_secs(1));
    for second in 2..1000 {
        let now = Monotonic::from_secs(second);
        let view = View { address: Some(ip(B)), unix: None, ready: false };
        assert_eq!(machine.look(now, &view), None);
    }
    let now = Monotonic::from_secs(1000);
    assert_eq!(machine.look(now, &view(B, now)), Some(Action::Tell(ip(B))));
}

proptest! {
    /// Whatever providers, lines and resolvers do: no more than five updates in ten minutes, none
    /// within five seconds, none after a stop, and what is kept is always what a provider accepted.
    #[test]
    fn it_is_polite_and_never_latches(
        moves in prop::collection::vec((1u64..400, 0usize..4, 0u8..5, any::<bool>(), any::<u8>()), 1..80),
    ) {
        let addresses = [Some(ip(A)), Some(ip(B)), Some(ip("10.0.0.1")), None];
        let mut machine = Machine::new(Memory::default(), true, Monotonic::from_secs(0));
        let (mut now, mut tells, mut stopped) = (Monotonic::from_secs(0), Vec::new(), false);
        for (seconds, address, verdict, answers, jitter) in moves {
            now = now + Duration::from_secs(seconds);
            let unix = Some(UNIX + now.since_boot().as_secs());
            let view = View { address: addresses[address], unix, ready: true };
            match machine.look(now, &view) {
                Some(Action::Tell(address)) => {
                    prop_assert!(!stopped);
                    tells.push(now);
                    let verdict = match verdict {
                        0 | 1 => Verdict::Changed { address },
                        2 => Verdict::Same { address },
                        3 => Verdict::later("x", Duration::from_secs(u64::from(jitter))),
                        _ => Verdict::stop("abuse", "x"),
                    };
                    stopped = matches!(verdict, Verdict::Stop { .. });
                    machine.told(now, unix, &verdict, jitter);
                }
                Some(Action::Resolve) => {
                    let found = [ip(A)];
                    machine.resolved(now, unix, if answers { Ok(&found) } else { Err(()) });
                }
                None => {}
            }
            if machine.deadline().is_none() {
                let idle = view.address.is_none_or(|a| reach(a) != Reach::Public);
                prop_assert!(stopped || idle);
            }
        }
        prop_assert!(tells.windows(2).all(|w| w[1].since(w[0]) >= SPACING));
        prop_assert!(tells.windows(BURST + 1).all(|w| w[BURST].since(w[0]) >= BURST_TIME));
        if !stopped {
            // Left alone with a good provider for a day and a half, it is current.
            let mut done = false;
            for _ in 0..4000 {
                now = now + Duration::from_secs(37);
                let unix = Some(UNIX + now.since_boot().as_secs());
                let view = View { address: Some(ip(B)), unix, ready: true };
                match machine.look(now, &view) {
                    Some(Action::Tell(address)) => machine.told(now, unix, &Verdict::Changed { address }, 0),
                    Some(Action::Resolve) => machine.resolved(now, unix, Ok(&[ip(B)])),
                    None => {}
                }
                done = machine.state() == "current";
            }
            prop_assert!(done, "{:?}", machine);
        }
    }
}
