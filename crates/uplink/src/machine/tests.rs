//! What the machine does with what it sees and hears.

use super::*;
use netlink::{Address, Link, Route};

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(seconds)
}

fn machine() -> Machine {
    Machine::new(Settings::backup("eth0"))
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
    Observation { facts, modem, wired_dns: vec![ip("192.168.178.1")] }
}

fn session() -> Modem {
    let dns = vec![ip("198.51.100.53"), ip("198.51.100.54")];
    let (interface, local) = ("ppp0".to_owned(), Some(ip("100.64.0.2")));
    Modem::Known(Some(Cellular { interface, kind: crate::Kind::Ppp, remote: None, local, dns }))
}

fn resolv(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|a| if let Action::WriteResolv(text) = a { Some(text.as_str()) } else { None })
}

#[test]
fn dns_follows_the_line_in_use_and_comes_back() {
    let mut machine = machine();
    let actions = machine.step(at(1), Event::Observed(Ok(observation(false, Modem::Known(None)))));
    assert!(resolv(&actions).unwrap().contains("nameserver 192.168.178.1\n"));
    assert_eq!(machine.active(), Some("wired"));
    let actions = machine.step(at(2), Event::Observed(Ok(observation(true, session()))));
    let text = resolv(&actions).unwrap();
    assert!(text.find("198.51.100.53").unwrap() < text.find("192.168.178.1").unwrap(), "{text}");
    assert_eq!(machine.active(), Some("cellular"));
    let actions = machine.step(at(3), Event::Observed(Ok(observation(false, Modem::Known(None)))));
    assert!(!resolv(&actions).unwrap().contains("198.51.100"));
    assert_eq!(machine.active(), Some("wired"));
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
    let mut machine = machine();
    machine.step(at(1), Event::Observed(Ok(observation(true, session()))));
    machine.step(at(40), Event::Observed(Ok(observation(true, Modem::Silent))));
    assert_eq!(machine.active(), Some("cellular"));
    assert!(machine.modem_is_silent());
    // The kernel took the interface: the line is gone whatever anybody says.
    machine.step(at(45), Event::Observed(Ok(observation(false, Modem::Silent))));
    assert_eq!(machine.active(), Some("wired"));
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
