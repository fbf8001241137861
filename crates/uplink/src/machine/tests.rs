//! What the machine does with what it sees and hears.

use super::*;
use link_health::State;
use netlink::{Address, Link, Route};

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(seconds)
}

fn machine() -> Machine {
    Machine::new(Settings::gateway("eth0"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A wired line with a lease, and `ppp0` where `session` says so.
fn observation(session: bool, modem: Modem) -> Observation {
    let link = |index, name: &str| Link { index, name: name.to_owned(), up: true, carrier: true };
    let address = |link, text: &str| Address { link, address: ip(text), prefix: 24, global: true };
    let (destination, gateway) = (ip("0.0.0.0"), Some(ip("192.168.178.1")));
    let route =
        Route { destination, prefix: 0, gateway, link: Some(2), metric: 1024, table: 254, protocol: 16 };
    let mut facts = Facts {
        links: vec![link(2, "eth0")],
        addresses: vec![address(2, "192.168.178.2")],
        ..Facts::default()
    };
    facts.routes.push(route);
    if session {
        facts.links.push(link(7, "ppp0"));
        facts.addresses.push(address(7, "100.64.0.2"));
    }
    Observation { facts, modem, wired_dns: vec![ip("192.168.178.1")], ula: None }
}

fn session() -> Modem {
    let dns = vec![ip("198.51.100.53"), ip("198.51.100.54")];
    let (interface, local) = ("ppp0".to_owned(), Some(ip("100.64.0.2")));
    Modem::Known(Some(Cellular { interface, kind: crate::Kind::Ppp, remote: None, local, dns }))
}

fn resolv(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|a| if let Action::WriteResolv(text) = a { Some(text.as_str()) } else { None })
}

fn says(line: Line, state: State) -> Event {
    Event::Health { line, verdict: Verdict { state, ..Verdict::default() } }
}

/// A look at a wired line and a session.
fn both() -> Event {
    Event::Observed(Ok(observation(true, session())))
}

/// On the cellular line since second 2, because the wired one is dead.
fn failed_over() -> (Machine, Vec<Action>) {
    let mut machine = machine();
    machine.step(at(1), both());
    machine.step(at(1), Event::Changed(Ok(())));
    machine.step(at(2), says(Line::Wired, State::Down));
    assert_eq!(machine.next_look(), at(2), "a verdict is acted on at once");
    let actions = machine.step(at(2), both());
    assert_eq!(machine.active(), Some(Line::Cellular));
    (machine, actions)
}

#[test]
fn dns_follows_the_line_in_use_and_comes_back() {
    let mut machine = machine();
    let actions = machine.step(at(1), both());
    assert!(resolv(&actions).unwrap().contains("nameserver 192.168.178.1\n"));
    assert_eq!(machine.active(), Some(Line::Wired), "a session alone is no reason to use it");
    machine.step(at(2), says(Line::Wired, State::Down));
    let actions = machine.step(at(2), both());
    let text = resolv(&actions).unwrap();
    assert!(text.find("198.51.100.53").unwrap() < text.find("192.168.178.1").unwrap(), "{text}");
    assert_eq!(machine.active(), Some(Line::Cellular));
    let actions = machine.step(at(3), Event::Observed(Ok(observation(false, Modem::Known(None)))));
    assert!(!resolv(&actions).unwrap().contains("198.51.100"));
    assert_eq!(machine.active(), Some(Line::Wired), "a dead line is better than one that is gone");
}

#[test]
fn each_line_is_reported_with_its_own_name_servers() {
    let mut machine = machine();
    machine.step(at(1), both());
    let report = crate::status::report(&machine, &crate::status::Numbers::default(), at(1));
    let links = serde_json::to_value(&report.fields["links"]).unwrap();
    let of = |name: &str| {
        links.as_array().unwrap().iter().find(|link| link["name"] == name).unwrap()["dns"].clone()
    };
    assert_eq!(of("wired"), serde_json::json!(["192.168.178.1"]));
    assert_eq!(of("cellular"), serde_json::json!(["198.51.100.53", "198.51.100.54"]));
}

#[test]
fn routes_first_then_dns_and_connections_last_and_again_later() {
    let (mut machine, actions) = failed_over();
    let kinds: Vec<_> = actions.iter().map(std::mem::discriminant).collect();
    let expected = [Action::Change(Vec::new()), Action::WriteResolv(String::new())];
    assert_eq!(kinds, expected.iter().map(std::mem::discriminant).collect::<Vec<_>>());
    let forget = [Action::Forget(Line::Wired)];
    assert_eq!(machine.step(at(2), Event::Changed(Ok(()))), forget);
    for second in [7, 12] {
        assert!(machine.next_look() <= at(second));
        machine.step(at(second), both());
        assert_eq!(machine.step(at(second), Event::Changed(Ok(()))), forget, "at {second}");
    }
    machine.step(at(60), both());
    assert_eq!(machine.step(at(60), Event::Changed(Ok(()))), []);
}

#[test]
fn no_connection_is_let_go_while_routes_cannot_be_set() {
    let (mut machine, _) = failed_over();
    assert_eq!(machine.step(at(2), Event::Changed(Err("read-only".to_owned()))), []);
    machine.step(at(7), both());
    assert_eq!(machine.step(at(7), Event::Changed(Ok(()))), [Action::Forget(Line::Wired)]);
}

#[test]
fn a_refusal_is_tried_again_every_5_s_and_holds_nothing_up_for_ever() {
    let (mut machine, _) = failed_over();
    let refused = || Event::Changed(Err("network is unreachable".to_owned()));
    assert_eq!(machine.step(at(2), refused()), []);
    assert_eq!(machine.next_look(), at(7), "not at once, though connections wait to be let go");
    machine.step(at(7), both());
    assert_eq!(machine.step(at(7), refused()), [Action::Forget(Line::Wired)]);
    assert!(machine.next_look() > at(7));
    machine.step(at(12), Event::Observed(Err("no answer".to_owned())));
    assert_eq!(machine.next_look(), at(17));
}

#[test]
fn connections_that_cannot_be_let_go_are_told_until_they_are() {
    let (mut machine, _) = failed_over();
    machine.step(at(2), Event::Changed(Ok(())));
    machine.step(at(2), Event::Forgotten(Line::Wired, Err("no answer".to_owned())));
    assert_eq!(machine.switch_failure(), Some("no answer"));
    machine.step(at(7), Event::Forgotten(Line::Wired, Ok(3)));
    assert_eq!(machine.switch_failure(), None);
}

#[test]
fn lines_that_are_all_dead_are_no_way_to_the_internet() {
    let (mut machine, _) = failed_over();
    assert_eq!(machine.offline_for(at(3)), None);
    machine.step(at(4), says(Line::Cellular, State::Down));
    machine.step(at(4), both());
    assert_eq!(machine.offline_for(at(10)), Some(Duration::from_secs(6)));
    machine.step(at(11), says(Line::Cellular, State::Unknown));
    machine.step(at(11), both());
    assert_eq!(machine.offline_for(at(12)), None, "a fresh call is not known to be dead");
}

fn conditions(machine: &Machine, second: u64) -> Vec<String> {
    let report = crate::status::report(machine, &crate::status::Numbers::default(), at(second));
    report.conditions.into_iter().map(|condition| condition.id).collect()
}

#[test]
fn a_wired_line_that_was_there_and_is_gone_is_told_and_one_that_never_was_is_not() {
    let without_wire = || {
        let mut observation = observation(true, session());
        observation.facts.links[0].carrier = false;
        Event::Observed(Ok(observation))
    };
    let down = "uplink-wired-down".to_owned();
    let mut machine = machine();
    machine.step(at(1), without_wire());
    assert!(!conditions(&machine, 1).contains(&down));
    machine.step(at(2), both());
    machine.step(at(3), without_wire());
    assert!(conditions(&machine, 3).contains(&down));
    machine.step(at(4), both());
    assert!(!conditions(&machine, 4).contains(&down));
}

#[test]
fn what_could_not_be_let_go_is_tried_again() {
    let (mut machine, _) = failed_over();
    for second in [2, 7, 12, 17, 22] {
        assert_eq!(machine.step(at(second), Event::Changed(Ok(()))), [Action::Forget(Line::Wired)]);
        machine.step(at(second), Event::Forgotten(Line::Wired, Err("no answer".to_owned())));
    }
    assert_eq!(machine.step(at(27), Event::Changed(Ok(()))), [Action::Forget(Line::Wired)]);
    machine.step(at(27), Event::Forgotten(Line::Wired, Ok(3)));
    assert_eq!(machine.step(at(40), Event::Changed(Ok(()))), []);
}

#[test]
fn a_restart_goes_on_with_the_line_in_place_and_lets_stragglers_go() {
    let (_, actions) = failed_over();
    let Some(Action::Change(changes)) = actions.first() else { panic!("{actions:?}") };
    let mut left = observation(true, session());
    for change in changes {
        if let Change::SetRoute(route) = change {
            left.facts.routes.push(route.clone());
        }
    }
    let active = Some((Line::Cellular, at(2)));
    let mut machine = machine().remembering(Memory { count: 7, active, ..Memory::default() });
    machine.step(at(20), Event::Observed(Ok(left)));
    assert_eq!(machine.active(), Some(Line::Cellular), "nothing is known, so nothing is changed");
    assert_eq!((machine.switches().0, machine.active_since()), (7, at(2)));
    assert_eq!(machine.step(at(20), Event::Changed(Ok(()))), [Action::Forget(Line::Wired)]);
}

#[test]
fn an_unchanged_list_is_not_written_again_but_a_failed_one_is() {
    let mut machine = machine();
    let look = || Event::Observed(Ok(observation(false, Modem::Known(None))));
    assert!(resolv(&machine.step(at(1), look())).is_some());
    assert!(resolv(&machine.step(at(2), look())).is_none());
    machine.step(at(2), Event::ResolvWritten(Err("disk full".to_owned())));
    assert!(resolv(&machine.step(at(3), look())).is_some());
}

#[test]
fn a_silent_modem_keeps_its_line() {
    let (mut machine, _) = failed_over();
    machine.step(at(40), Event::Observed(Ok(observation(true, Modem::Silent(None)))));
    assert_eq!(machine.active(), Some(Line::Cellular));
    assert!(machine.modem_is_silent());
    // The kernel took the interface: the line is gone whatever anybody says.
    machine.step(at(45), Event::Observed(Ok(observation(false, Modem::Silent(None)))));
    assert_eq!(machine.active(), Some(Line::Wired));
}

#[test]
fn a_start_beside_a_hung_dialer_keeps_its_line_too() {
    let Modem::Known(last) = session() else { panic!("a session is known") };
    let mut machine = machine();
    let actions = machine.step(at(1), Event::Observed(Ok(observation(true, Modem::Silent(last)))));
    assert_eq!(machine.lines()[1].interface.as_deref(), Some("ppp0"));
    assert!(machine.lines()[1].way && !actions.is_empty());
}

#[test]
fn in_backup_mode_connections_are_the_router_s_choice() {
    let mut machine = Machine::new(Settings::backup("eth0"));
    for (second, state) in [(1, State::Up), (2, State::Down), (3, State::Up), (60, State::Up)] {
        machine.step(at(second), says(Line::Wired, state));
        machine.step(at(second), both());
        assert_eq!(machine.step(at(second), Event::Changed(Ok(()))), []);
    }
    assert_eq!(machine.switches().0, 2);
}

#[test]
fn no_line_is_offline_since_the_first_look_that_saw_none() {
    let mut machine = machine();
    let nothing = || {
        let mut observation = observation(false, Modem::Known(None));
        observation.facts.routes.clear();
        Event::Observed(Ok(observation))
    };
    machine.step(at(1), nothing());
    machine.step(at(6), nothing());
    assert_eq!(machine.offline_for(at(11)), Some(Duration::from_secs(10)));
    machine.step(at(12), Event::Observed(Ok(observation(false, Modem::Known(None)))));
    assert_eq!(machine.offline_for(at(13)), None);
}

#[test]
fn a_failed_look_is_repeated_and_reported() {
    let mut machine = machine();
    assert!(machine.step(at(1), Event::Observed(Err("no answer".to_owned()))).is_empty());
    assert_eq!(machine.route_failure(), Some("no answer"));
    assert!(machine.next_look() > at(1));
    machine.step(at(6), Event::Observed(Ok(observation(false, Modem::Known(None)))));
    assert_eq!(machine.route_failure(), None);
}

#[test]
fn a_wired_line_whose_lease_comes_late_is_taken_as_soon_as_it_is_good() {
    let mut machine = machine();
    let mut without = observation(true, session());
    without.facts.routes.clear();
    // Before the lease, the watch says of the line what is true of it.
    machine.step(at(1), says(Line::Wired, State::Down));
    machine.step(at(1), Event::Observed(Ok(without)));
    assert_eq!(machine.active(), Some(Line::Cellular));
    machine.step(at(2), both());
    machine.step(at(2), says(Line::Wired, State::Unknown));
    machine.step(at(2), both());
    assert_eq!(machine.active(), Some(Line::Cellular));
    machine.step(at(3), says(Line::Wired, State::Up));
    machine.step(at(3), both());
    assert_eq!(machine.active(), Some(Line::Wired));
}

#[test]
fn a_cut_lets_the_metered_line_s_connections_go_in_every_mode() {
    let backup = Settings { mode: Mode::Backup, ..Settings::gateway("eth0") };
    let mut machine = Machine::new(backup);
    machine.step(at(1), both());
    machine.step(at(1), Event::Changed(Ok(())));
    machine.cut(at(50));
    assert!(machine.next_look() <= at(50));
    machine.step(at(50), both());
    assert_eq!(machine.step(at(50), Event::Changed(Ok(()))), [Action::Forget(Line::Cellular)]);
}
