use super::*;
use crate::incidents::{Incident, Step};
use crate::ledger::{DAY, MOST_A_DAY};

mod properties;
mod stopped_dialer;

const PORT: &str = "1-1.1";

fn stick() -> Stick {
    Stick { port: PORT.into(), id: "19d2:0031".into() }
}

/// A box with a stick that is cured by nothing, or by some rung.
#[expect(clippy::struct_excessive_bools, reason = "faults that come and go by themselves")]
struct World {
    machine: Machine,
    now: Monotonic,
    view: View,
    /// The stick's endpoint 0 answers.
    alive: bool,
    /// So many power cycles cure it.
    cured_after: Option<u32>,
    /// The hub cuts the power.
    hub: Hub,
    off: bool,
    /// The hub does not take the request to switch on.
    power_fails: bool,
    /// Somebody else has the lock.
    busy: bool,
    /// A person stopped the dialer.
    stopped: bool,
    /// The stick is off the bus for good.
    gone: bool,
    cycles: u32,
    log: Vec<(u64, Job)>,
    closed: Vec<Incident>,
    /// What met somebody else with the lock.
    met: Vec<u64>,
    saved: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hub {
    Cuts,
    Useless,
    Fails,
}

impl World {
    fn new() -> Self {
        let view = View {
            progress: Progress::Answers,
            stick: Some(stick()),
            ever: true,
            present: true,
            durable: true,
            ..View::default()
        };
        let machine = Machine::new(Monotonic::from_secs(100), Ledger::default(), None, false, None);
        let now = Monotonic::from_secs(100);
        let mut world = Self {
            machine,
            now,
            view,
            alive: true,
            cured_after: None,
            hub: Hub::Cuts,
            off: false,
            power_fails: false,
            busy: false,
            stopped: false,
            gone: false,
            cycles: 0,
            log: Vec::new(),
            closed: Vec::new(),
            met: Vec::new(),
            saved: 0,
        };
        world.run(5);
        world
    }

    fn hang(&mut self) {
        self.alive = false;
        self.view.progress = Progress::Tries;
        self.view.stuck = Some(Stuck { stick: stick(), since: self.now, reason: "no answer".into() });
    }

    fn cure(&mut self) {
        self.alive = true;
        self.gone = false;
        self.view.stuck = None;
        self.view.progress = Progress::Answers;
        self.view.silent_for = Duration::ZERO;
        self.view.present = true;
    }

    fn event(&mut self, event: Event) {
        let actions = self.machine.step(self.now, event);
        for action in actions {
            match action {
                Action::Work(job) => self.work(job),
                Action::Close(incident) => self.closed.push(incident),
                Action::SaveLedger(_) => self.saved += 1,
                Action::Record | Action::Say(_) => {}
            }
        }
    }

    fn work(&mut self, job: Job) {
        self.log.push((self.now.as_millis() / 1000, job.clone()));
        assert!(!self.off || matches!(job, Job::PowerOn | Job::Reboot), "{job:?} while the port is off");
        let ok = || Answer::Done(String::new());
        let answer = match &job {
            Job::Ping(_) if !self.alive => Answer::Failed("timeout".into()),
            Job::PowerOff(_) | Job::Reset(_) if self.busy => Answer::Busy,
            Job::RestartDialer if self.stopped => Answer::Refused("stopped".into()),
            Job::PowerOn if self.power_fails => Answer::Failed("pipe error".into()),
            Job::PowerOff(_) => match self.hub {
                Hub::Cuts => {
                    self.off = true;
                    self.view.present = false;
                    ok()
                }
                Hub::Useless => Answer::Useless("nothing happened".into()),
                Hub::Fails => {
                    self.off = true;
                    Answer::Failed("half done".into())
                }
            },
            Job::PowerOn => {
                if self.off && self.hub == Hub::Cuts {
                    self.cycles += 1;
                    self.view.present = !self.gone;
                    if self.cured_after.is_some_and(|n| self.cycles >= n) {
                        self.cure();
                    }
                }
                self.off = false;
                ok()
            }
            _ => ok(),
        };
        if answer == Answer::Busy {
            self.met.push(self.now.as_millis() / 1000);
        }
        self.now = self.now + Duration::from_secs(1);
        self.event(Event::Done(job, answer));
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.now = self.now + Duration::from_secs(1);
            self.view.service_s = self.now.as_millis() / 1000;
            let view = self.view.clone();
            self.event(Event::Seen(view));
        }
    }

    fn did_done(&self, wanted: impl Fn(&Job) -> bool) -> Vec<u64> {
        self.did(wanted).into_iter().filter(|at| !self.met.contains(at)).collect()
    }

    fn did(&self, wanted: impl Fn(&Job) -> bool) -> Vec<u64> {
        self.log.iter().filter(|(_, job)| wanted(job)).map(|(at, _)| *at).collect()
    }
}

fn is_off(job: &Job) -> bool {
    matches!(job, Job::PowerOff(_))
}

#[test]
fn a_dead_stick_is_power_cycled_at_once_and_never_reset() {
    let mut world = World::new();
    world.cured_after = Some(1);
    let begin = world.now;
    world.hang();
    world.run(15);
    assert!(world.did(|job| matches!(job, Job::Reset(_))).is_empty());
    assert_eq!(world.did(is_off).len(), 1);
    let incident = &world.closed[0];
    assert!(incident.steps[0].outcome.contains("endpoint 0 is dead"), "{incident:?}");
    assert_eq!((incident.steps[1].rung, incident.steps[1].outcome.as_str()), (5, "helped"));
    let took = incident.ended.unwrap().1 - begin.as_millis();
    assert!(took <= 10_000, "{took} ms");
    assert_eq!(world.machine.power_cycle.usable, Some(true));
    assert_eq!(*world.machine.state(), State::Watching);
}

#[test]
fn a_stick_whose_endpoint_0_lives_is_reset_first() {
    let mut world = World::new();
    world.cured_after = Some(1);
    world.hang();
    world.alive = true;
    world.run(40);
    let order: Vec<&Job> = world.log.iter().map(|(_, job)| job).collect();
    let at = |wanted: &dyn Fn(&Job) -> bool| order.iter().position(|job| wanted(job)).unwrap();
    assert!(at(&|job| matches!(job, Job::Reset(_))) < at(&is_off));
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn the_port_is_off_for_longer_each_time() {
    let mut world = World::new();
    world.cured_after = Some(3);
    world.hang();
    world.run(300);
    let off = world.did(is_off);
    let on = world.did(|job| *job == Job::PowerOn);
    let times: Vec<u64> = off.iter().zip(&on).map(|(off, on)| on - off).collect();
    assert_eq!(times.len(), 3);
    for (time, wanted) in times.iter().zip([3, 10, 30]) {
        assert!((wanted..=wanted + 2).contains(time), "{times:?}");
    }
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn nothing_helps_so_it_reboots_within_its_budget_and_never_stops_trying() {
    let mut world = World::new();
    world.hang();
    world.run(2 * DAY);
    let reboots = world.did(|job| *job == Job::Reboot);
    assert!((2..=2 * MOST_A_DAY + 1).contains(&reboots.len()), "{reboots:?}");
    assert_eq!(world.saved, reboots.len(), "each is on disk first");
    let last = world.did(is_off).last().copied().unwrap();
    assert!(last + 2 * 3600 > world.now.as_millis() / 1000, "still trying");
    assert!(world.machine.incident().is_some());
}

#[test]
fn a_hub_that_does_not_switch_is_found_out_once_and_skipped() {
    for hub in [Hub::Useless, Hub::Fails] {
        let mut world = World::new();
        world.hub = hub;
        world.hang();
        world.run(1200);
        if hub == Hub::Useless {
            assert_eq!(world.did(is_off).len(), 1);
            assert_eq!(world.machine.power_cycle.usable, Some(false));
        }
        assert!(!world.did(|job| *job == Job::Reboot).is_empty(), "{hub:?}: rung 6 is what is left");
        assert!(!world.off);
    }
}

#[test]
fn a_hub_the_kernel_holds_for_two_minutes_costs_no_reboot() {
    let mut world = World::new();
    world.cured_after = Some(2);
    world.hang();
    while world.cycles == 0 {
        world.run(1);
    }
    // The kernel enumerates a device that answers nothing.
    world.hub = Hub::Fails;
    world.run(130);
    assert!(world.did(is_off).len() > 3, "it goes on trying");
    world.hub = Hub::Cuts;
    world.run(60);
    assert_eq!(world.did(|job| *job == Job::Reboot), [0_u64; 0]);
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn a_silent_dialer_is_restarted_before_anything_else() {
    let mut world = World::new();
    world.view.silent_for = Duration::from_secs(29);
    world.run(3);
    assert!(world.did(|job| *job == Job::RestartDialer).is_empty());
    world.view.silent_for = SILENT;
    world.run(1);
    assert_eq!(world.did(|job| *job == Job::RestartDialer).len(), 1);
    world.cure();
    world.run(3);
    assert_eq!(world.closed[0].cause, "the dialer is silent");
    assert!(world.did(is_off).is_empty());
}

#[test]
fn a_stick_that_fell_off_the_bus_is_power_cycled_and_costs_one_reboot_at_most() {
    let mut world = World::new();
    world.view.progress = Progress::Absent;
    world.view.present = false;
    world.gone = true;
    world.view.stick = None;
    world.view.progress_for = GONE;
    world.run(2 * DAY);
    assert!(world.did(|job| matches!(job, Job::Ping(_) | Job::Reset(_))).is_empty());
    assert!(world.did(is_off).len() > 10);
    assert_eq!(world.did(|job| *job == Job::Reboot).len(), 1);
    world.cure();
    world.run(2);
    assert_eq!(*world.machine.state(), State::Watching);
}

#[test]
fn a_box_that_never_had_a_stick_is_left_alone() {
    let mut world = World::new();
    world.machine = Machine::new(world.now, Ledger::default(), None, false, None);
    world.log.clear();
    let progress_for = Duration::from_secs(9999);
    world.view = View { progress: Progress::Absent, progress_for, durable: true, ..View::default() };
    world.run(DAY);
    assert_eq!(world.log, []);
}

#[test]
fn what_needs_a_person_is_no_trouble() {
    let mut world = World::new();
    world.log.clear();
    world.view.progress = Progress::Person;
    world.view.progress_for = Duration::from_secs(99_999);
    world.run(DAY);
    assert_eq!(world.log, []);
}

#[test]
fn a_port_that_a_person_switched_off_is_left_off() {
    let mut world = World::new();
    world.log.clear();
    world.view = View { progress: Progress::Absent, held: true, present: false, ..world.view.clone() };
    world.view.progress_for = GONE * 3;
    world.run(600);
    assert_eq!(world.log, []);
}

#[test]
fn the_end_gives_the_power_back_first() {
    let mut world = World::new();
    world.hang();
    while !world.off {
        world.run(1);
    }
    world.event(Event::Stop);
    assert!(!world.off && world.machine.is_quiet());
}

#[test]
fn a_port_left_off_by_a_dead_process_is_switched_on_first() {
    let mut world = World::new();
    world.machine = Machine::new(world.now, Ledger::default(), Some(stick()), true, None);
    world.off = true;
    world.run(1);
    assert!(!world.off);
    assert_eq!(*world.machine.state(), State::Watching);
}

#[test]
fn an_incident_goes_on_after_the_reboot_it_ordered() {
    let mut world = World::new();
    let steps = vec![Step { rung: 6, action: "reboot".into(), ended_ms: Some(1), ..Step::default() }];
    let open = Incident { cause: "no answer".into(), steps, ..Incident::default() };
    world.machine = Machine::new(world.now, Ledger::default(), Some(stick()), false, Some(open));
    world.run(3);
    assert_eq!(world.closed.len(), 1, "the stick is well again");
    assert_eq!(world.closed[0].steps.len(), 1);
}

#[test]
fn without_a_disk_there_is_no_reboot() {
    let mut world = World::new();
    world.view.durable = false;
    world.hang();
    world.run(DAY);
    assert!(world.did(|job| *job == Job::Reboot).is_empty());
    assert!(world.machine.denied().unwrap().contains("data partition"));
}

#[test]
fn power_that_does_not_come_back_ends_in_a_reboot() {
    let mut world = World::new();
    world.power_fails = true;
    world.hang();
    let begin = world.now.as_millis() / 1000;
    world.run(3600);
    let reboots = world.did(|job| *job == Job::Reboot);
    assert!(reboots[0] <= begin + 240, "{reboots:?} {begin}");
    assert!(reboots.len() <= MOST_A_DAY);
    world.power_fails = false;
    world.cured_after = Some(1);
    world.run(REBOOT_TAKES.as_secs() + 120);
    assert!(!world.off);
}

#[test]
fn a_stick_that_relapses_is_power_cycled_and_not_reset_again_and_again() {
    let mut world = World::new();
    for _ in 0..4 {
        world.hang();
        world.alive = true;
        world.run(3);
        // It answers, and goes no further.
        world.cure();
        world.run(20);
    }
    assert_eq!(world.did(|job| matches!(job, Job::Reset(_))).len(), 1);
    assert!(!world.did(is_off).is_empty());
    world.view.progress = Progress::Online;
    world.view.progress_for = STEADY;
    world.run(60);
    world.hang();
    world.alive = true;
    world.run(3);
    assert_eq!(world.did(|job| matches!(job, Job::Reset(_))).len(), 2, "cured in between");
}

#[test]
fn a_dead_stick_is_reset_all_the_same_where_nothing_better_works() {
    let mut world = World::new();
    world.hub = Hub::Useless;
    world.hang();
    world.run(20);
    assert_eq!(world.did(|job| matches!(job, Job::Reset(_))).len(), 1);
}

#[test]
fn a_person_who_switches_the_port_off_ends_the_incident() {
    let mut world = World::new();
    world.hang();
    world.run(200);
    while world.off {
        world.run(1);
    }
    world.view.held = true;
    world.view.present = false;
    world.run(60);
    let done = world.log.len();
    world.run(7200);
    assert_eq!(world.log.len(), done);
    assert_eq!(world.closed.len(), 1);
    world.view.silent_for = SILENT;
    world.run(60);
    assert_eq!(world.did(|job| *job == Job::RestartDialer).len(), 1, "but not from a dialer that is silent");
    assert!(world.did(is_off).len() <= 3);
}

#[test]
fn who_switches_just_then_is_waited_for_and_not_counted() {
    let mut world = World::new();
    world.busy = true;
    world.hang();
    world.run(600);
    assert!(world.did(|job| matches!(job, Job::PowerOn | Job::Reboot)).is_empty());
    assert!(world.machine.is_quiet());
    world.busy = false;
    world.cured_after = Some(1);
    world.run(30);
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn a_stick_that_was_pulled_costs_no_reboot_where_power_cycles_work() {
    let mut world = World::new();
    world.cured_after = Some(1);
    world.hang();
    world.run(30);
    assert_eq!(world.machine.power_cycle.usable, Some(true));
    world.view.progress = Progress::Absent;
    world.view.present = false;
    world.gone = true;
    world.cured_after = None;
    world.view.progress_for = GONE;
    world.run(DAY);
    assert!(world.did(|job| *job == Job::Reboot).is_empty());
}
