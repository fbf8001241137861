//! What holds whatever happens to the stick, the hub and the power.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Fate {
    Hang,
    Cure,
    Vanish,
    Silence,
    Hub(u8),
    Hold(bool),
    PowerFails(bool),
    Busy(bool),
    Wait(u16),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        Just(Fate::Hang),
        Just(Fate::Cure),
        Just(Fate::Vanish),
        Just(Fate::Silence),
        (0u8..3).prop_map(Fate::Hub),
        any::<bool>().prop_map(Fate::Hold),
        any::<bool>().prop_map(Fate::PowerFails),
        any::<bool>().prop_map(Fate::Busy),
        (1u16..4000).prop_map(Fate::Wait),
        (1u16..40).prop_map(Fate::Wait),
    ];
    prop::collection::vec(fate, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `World::work` asserts that nothing else is done while a port is off.
    #[test]
    fn whatever_happens_it_keeps_its_budget_gives_power_back_and_goes_on(fates in fates()) {
        let mut world = World::new();
        for fate in fates {
            match fate {
                Fate::Hang => world.hang(),
                Fate::Cure => world.cure(),
                Fate::Vanish => {
                    world.view.stuck = None;
                    world.view.present = false;
                    world.gone = true;
                    world.view.progress = Progress::Absent;
                    world.view.progress_for = GONE;
                }
                Fate::Silence => world.view.silent_for = SILENT,
                Fate::Hub(n) => world.hub = [Hub::Cuts, Hub::Useless, Hub::Fails][usize::from(n)],
                Fate::Hold(held) => world.view.held = held,
                Fate::PowerFails(fails) => world.power_fails = fails,
                Fate::Busy(busy) => world.busy = busy,
                Fate::Wait(seconds) => world.run(seconds.into()),
            }
        }
        let reboots = world.did(|job| *job == Job::Reboot);
        for first in &reboots {
            let day = reboots.iter().filter(|at| **at >= *first && **at < first + DAY).count();
            prop_assert!(day <= MOST_A_DAY, "{reboots:?}");
        }
        // The stick hangs for good, the hub works: power is cycled again within the longest pause.
        world.view.held = false;
        world.view.silent_for = Duration::ZERO;
        world.view.present = true;
        world.gone = false;
        world.hub = Hub::Cuts;
        world.power_fails = false;
        world.busy = false;
        // A reboot that does not happen is waited for, and then the power's turn comes.
        world.run(REBOOT_TAKES.as_secs() + 120);
        prop_assert!(!world.off || matches!(world.machine.state(), State::Off { .. }), "power is back");
        world.hang();
        world.machine.forget_power();
        let before = world.did(is_off).len();
        world.run(2 * 3600);
        prop_assert!(world.did(is_off).len() > before);
        // The cool-down is the stick's, not the incident's. An attempt that met another is none.
        let resets = world.did_done(|job| matches!(job, Job::Reset(_)));
        prop_assert!(resets.windows(2).all(|pair| pair[1] >= pair[0] + 60), "{:?}", resets);
        world.cure();
        // A reboot that did not happen is waited for that long.
        world.run(REBOOT_TAKES.as_secs() + 120);
        prop_assert_eq!(world.machine.state(), &State::Watching);
        prop_assert!(!world.off);
    }

    #[test]
    fn within_an_incident_the_cool_downs_hold(alive in any::<bool>(), hours in 1u64..12) {
        let mut world = World::new();
        world.hang();
        world.alive = alive;
        world.run(hours * 3600);
        let resets = world.did(|job| matches!(job, Job::Reset(_)));
        prop_assert!(resets.windows(2).all(|pair| pair[1] >= pair[0] + 60));
        let (off, on) = (world.did(is_off), world.did(|job| *job == Job::PowerOn));
        prop_assert!(on.iter().zip(off.iter().skip(1)).all(|(on, off)| *off >= on + 20));
    }
}
