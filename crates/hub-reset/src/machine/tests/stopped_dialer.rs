//! A dialer that a person has stopped is no dialer that hangs.

use super::*;

#[test]
fn a_dialer_that_a_person_stopped_is_left_alone() {
    let mut world = World::new();
    world.stopped = true;
    world.view.silent_for = SILENT;
    world.run(DAY);
    assert_eq!(
        world.log.len(),
        world.did(|job| *job == Job::RestartDialer || matches!(job, Job::Assess(_))).len()
    );
    assert!(world.machine.incident().is_none() && world.closed.is_empty());
    world.view.silent_for = Duration::ZERO;
    world.run(5);
    world.stopped = false;
    world.view.silent_for = SILENT;
    world.run(600);
    assert!(!world.did(is_off).is_empty(), "started, and hangs");
}

#[test]
fn a_dialer_stopped_in_the_middle_ends_the_incident() {
    let mut world = World::new();
    world.hang();
    world.run(100);
    world.stopped = true;
    world.view.silent_for = SILENT;
    world.run(200);
    let done = world.did(is_off).len();
    world.run(DAY);
    assert_eq!(world.did(is_off).len(), done);
    assert_eq!(world.closed[0].outcome, "the dialer was stopped");
}
