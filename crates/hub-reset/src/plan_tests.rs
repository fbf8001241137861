use super::*;
use crate::boards::tests::shipped;

fn device(name: &str, id: &str, ports: u8) -> Device {
    Device { name: name.into(), id: id.into(), ports, ..Device::default() }
}

fn topology(board: &str, devices: Vec<Device>) -> Topology {
    let devices = devices.into_iter().map(|device| (device.name.clone(), device)).collect();
    Topology { devices, compatible: vec![board.to_owned()] }
}

fn pi3b() -> Topology {
    let mut ethernet = device("1-1.1", "0424:ec00", 0);
    ethernet.networks.push("eth0".into());
    let stick = device("1-1.3", "19d2:0031", 0);
    topology(
        "raspberrypi,3-model-b",
        vec![device("usb1", "1d6b:0002", 1), device("1-1", "0424:9514", 5), ethernet, stick],
    )
}

fn ask(topology: &Topology, bits: u16, target: &str) -> Result<Plan, Refusal> {
    plan(topology, &shipped(), &["19d2:0031".to_owned()], &|_| Ok(bits), target)
}

fn names(ports: &[Port]) -> Vec<String> {
    ports.iter().map(Port::name).collect()
}

#[test]
fn a_pi_3_switches_by_port_2_whatever_port_the_stick_is_in() {
    let plan = ask(&pi3b(), 0xe9, "1-1.3").unwrap();
    assert_eq!(names(&plan.switch), ["1-1.2"]);
}

#[test]
fn the_ethernet_of_a_pi_3_is_never_switched_nor_the_hub_above_it() {
    assert!(matches!(ask(&pi3b(), 0xe9, "1-1.1"), Err(Refusal::Never { .. })));
    assert!(ask(&pi3b(), 0xe9, "1-1").is_err());
}

#[test]
fn a_pi_4_needs_every_port_of_both_hubs() {
    let pi4 = topology(
        "raspberrypi,4-model-b",
        vec![
            device("usb1", "1d6b:0002", 1),
            device("usb2", "1d6b:0003", 4),
            device("1-1", "2109:3431", 4),
            device("1-1.2", "19d2:0031", 0),
        ],
    );
    let plan = ask(&pi4, 0xe9, "1-1.2").unwrap();
    assert_eq!(names(&plan.switch).len(), 8);
    assert!(names(&plan.switch).contains(&"2-4".to_owned()));
}

#[test]
fn a_disk_or_network_card_in_the_same_gang_is_spared() {
    let mut pi = pi3b();
    let mut disk = device("1-1.5", "152d:0578", 0);
    disk.disks.push("sda".into());
    pi.devices.insert("1-1.5".into(), disk);
    let refusal = ask(&pi, 0xe9, "1-1.3").unwrap_err();
    assert!(refusal.to_string().contains("the disk sda"), "{refusal}");
}

#[test]
fn a_sticks_own_network_interface_and_cd_rom_are_no_reason_to_spare_it() {
    let mut pi = pi3b();
    let stick = pi.devices.get_mut("1-1.3").unwrap();
    stick.networks.push("wwan0".into());
    stick.disks.push("sr0".into());
    assert!(ask(&pi, 0xe9, "1-1.3").is_ok());
    pi.devices.get_mut("1-1.3").unwrap().id = "0bda:8153".into();
    assert!(matches!(ask(&pi, 0xe9, "1-1.3"), Err(Refusal::Carries { .. })));
}

#[test]
fn an_unknown_hub_is_judged_by_its_descriptor() {
    let unknown = topology(
        "x",
        vec![device("usb1", "1d6b:0002", 4), device("1-1", "ffff:0001", 4), device("1-1.1", "19d2:0031", 0)],
    );
    assert_eq!(names(&ask(&unknown, 0x09, "1-1.1").unwrap().switch), ["1-1.1"]);
    assert_eq!(ask(&unknown, 0x00, "1-1.1").unwrap().switch.len(), 4);
    assert!(matches!(ask(&unknown, 0x0a, "1-1.1"), Err(Refusal::Fixed { .. })));
    assert!(matches!(ask(&unknown, 0x09, "1-1.5"), Err(Refusal::NoPort(_))));
    let silent = |_: &Device| Err("timeout".to_owned());
    assert!(matches!(plan(&unknown, &shipped(), &[], &silent, "1-1.1"), Err(Refusal::Unknown { .. })));
}

#[test]
fn a_ganged_hub_with_ethernet_in_another_port_is_left_alone() {
    let mut card = device("1-1.2", "0bda:8153", 0);
    card.networks.push("eth0".into());
    let ganged = topology("x", vec![device("1-1", "ffff:0001", 4), card, device("1-1.1", "19d2:0031", 0)]);
    let refusal = ask(&ganged, 0x00, "1-1.1").unwrap_err();
    assert!(refusal.to_string().contains("the network interface eth0"), "{refusal}");
}

#[test]
fn both_halves_of_a_usb_3_hub_are_switched() {
    let mut slow = device("1-1", "ffff:0001", 4);
    let mut fast = device("2-1", "ffff:0002", 4);
    slow.container = Some([7; 16]);
    fast.container = Some([7; 16]);
    let twins = topology("x", vec![slow, fast, device("1-1.1", "19d2:0031", 0)]);
    assert_eq!(names(&ask(&twins, 0x09, "1-1.1").unwrap().switch), ["1-1.1", "2-1.1"]);
}
