//! Buses as sysfs shows them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;

/// An interface: number, class/subclass/protocol, endpoints, driver, and its port or network card.
type Part<'a> = (u8, &'a str, u8, &'a str, &'a str);

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn plug(&self, name: &str, id: &str, parts: &[Part]) -> &Self {
        self.plug_in(name, id, 1, parts)
    }

    fn plug_in(&self, name: &str, id: &str, configuration: u8, parts: &[Part]) -> &Self {
        let device = self.0.path().join("sys/bus/usb/devices").join(name);
        let (vendor, product) = id.split_once(':').unwrap();
        write(&device, "idVendor", vendor);
        write(&device, "idProduct", product);
        // The kernel gives these out under the device's lock only: whoever reads them waits for a reset.
        // Here they would turn up in what was found.
        write(&device, "bConfigurationValue", "9");
        write(&device, "product", "read under the lock");
        for (number, function, endpoints, driver, child) in parts {
            let interface = device.join(format!("{name}:{configuration}.{number}"));
            let codes: Vec<&str> = function.split('/').collect();
            for (attribute, code) in
                ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"].iter().zip(codes)
            {
                write(&interface, attribute, code);
            }
            write(&interface, "bNumEndpoints", &format!("{endpoints:02x}"));
            if !driver.is_empty() {
                symlink(format!("../../../bus/usb/drivers/{driver}"), interface.join("driver")).unwrap();
            }
            let folder = if child.starts_with("ttyACM") {
                interface.join("tty")
            } else if child.starts_with("tty") || child.is_empty() {
                interface
            } else {
                interface.join("net")
            };
            fs::create_dir_all(folder.join(child)).unwrap();
        }
        self
    }

    fn scan(&self) -> Vec<Stick> {
        self.scan_doubting(&[])
    }

    fn scan_doubting(&self, ids: &[&str]) -> Vec<Stick> {
        let doubted = ids.iter().map(|id| (*id).to_owned()).collect();
        scan(&Root::at(self.0.path()), &shipped(), &doubted).sticks
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), format!("{text}\n")).unwrap();
}

fn shipped() -> Vec<Quirk> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hardware/modems");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let read = |path: &PathBuf| crate::quirks::parse(&fs::read_to_string(path).unwrap(), path).unwrap();
    files.iter().map(read).collect()
}

fn numbers(stick: &Stick) -> Vec<u8> {
    stick.ports().iter().map(|port| port.interface).collect()
}

const ZTE: [Part; 4] = [
    (0, "ff/ff/ff", 2, "option", "ttyUSB7"),
    (1, "ff/ff/ff", 2, "option", "ttyUSB3"),
    (2, "ff/ff/ff", 2, "option", "ttyUSB0"),
    (3, "ff/ff/ff", 3, "option", "ttyUSB9"),
];

#[test]
fn finds_ports_by_interface_whatever_their_numbers() {
    let sticks = Tree::new().plug("1-1.2", "19d2:0031", &ZTE).scan();
    let ports: Vec<_> = sticks[0].ports().iter().map(|port| (port.name.as_str(), port.interface)).collect();
    assert_eq!(ports, [("ttyUSB9", 3), ("ttyUSB3", 1)]);
    assert_eq!((sticks[0].usb_path.as_str(), sticks[0].model.as_str()), ("1-1.2", "ZTE MF180"));
}

#[test]
fn lists_every_stick_in_the_order_of_the_usb_paths() {
    let tree = Tree::new();
    tree.plug("1-2", "19d2:2000", &[(0, "08/06/50", 2, "usb-storage", "")]);
    tree.plug("1-1", "12d1:14dc", &[(0, "02/06/00", 1, "cdc_ether", "usb0"), (1, "0a/00/00", 2, "", "")]);
    tree.plug("usb1", "1d6b:0002", &[]);
    let forms: Vec<_> = tree.scan().into_iter().map(|stick| (stick.usb_path, stick.form)).collect();
    let card = Form::NetworkCard { interface: Some("usb0".into()), ports: Vec::new() };
    assert_eq!(forms, [("1-1".into(), card), ("1-2".into(), Form::CdRom)]);
}

#[test]
fn an_id_used_in_both_modes_is_a_cd_rom_only_while_there_is_nothing_but_storage() {
    let storage = (0, "08/06/50", 2, "usb-storage", "");
    let tree = Tree::new();
    tree.plug("1-1", "12d1:1003", &[storage]);
    assert_eq!(tree.scan()[0].form, Form::CdRom);
    let tree = Tree::new();
    tree.plug(
        "1-1",
        "12d1:1003",
        &[(0, "ff/ff/ff", 3, "option", "ttyUSB0"), (2, "08/06/50", 2, "usb-storage", "")],
    );
    assert_eq!(numbers(&tree.scan()[0]), [0]);
    // The id of one model's modem is the id of another's CD-ROM.
    let tree = Tree::new();
    tree.plug("1-1", "19d2:0031", &ZTE);
    assert_eq!(numbers(&tree.scan()[0]), [3, 1]);
}

#[test]
fn huawei_ports_are_known_by_their_protocol_whatever_their_numbers() {
    let tree = Tree::new();
    tree.plug(
        "1-1",
        "12d1:1506",
        &[
            (0, "ff/02/02", 2, "option", "ttyUSB0"),
            (1, "ff/02/12", 2, "option", "ttyUSB1"),
            (4, "ff/02/01", 3, "option", "ttyUSB2"),
        ],
    );
    assert_eq!(numbers(&tree.scan()[0]), [4, 0]);
}

#[test]
fn an_unknown_stick_is_tried_with_the_likeliest_port_first() {
    let tree = Tree::new();
    // The interfaces of a Quectel module, under an id nobody knows.
    tree.plug(
        "1-1",
        "2c7c:ffff",
        &[
            (0, "ff/ff/ff", 2, "option", "ttyUSB0"),
            (1, "ff/00/00", 3, "option", "ttyUSB1"),
            (2, "ff/00/00", 3, "option", "ttyUSB2"),
            (3, "ff/00/00", 3, "option", "ttyUSB3"),
            (4, "ff/ff/ff", 3, "qmi_wwan", "wwan0"),
        ],
    );
    let sticks = tree.scan();
    assert_eq!(numbers(&sticks[0]), [3, 2, 1, 0]);
    assert_eq!(sticks[0].model, "unknown stick 2c7c:ffff");
}

#[test]
fn a_look_at_the_bus_reads_nothing_that_waits_for_a_reset_of_the_stick() {
    let tree = Tree::new();
    tree.plug("1-1", "2c7c:ffff", &[(2, "ff/00/00", 3, "option", "ttyUSB2")]);
    let sticks = tree.scan();
    assert_eq!((sticks[0].model.as_str(), numbers(&sticks[0])), ("unknown stick 2c7c:ffff", vec![2]));
}

#[test]
fn where_the_known_ports_are_silent_the_others_are_tried_behind_them() {
    let tree = Tree::new();
    tree.plug("1-1", "19d2:0031", &ZTE);
    assert_eq!(numbers(&tree.scan_doubting(&["12d1:1003"])[0]), [3, 1]);
    assert_eq!(numbers(&tree.scan_doubting(&["19d2:0031"])[0]), [3, 1, 2, 0]);
}

#[test]
fn modems_on_cdc_acm_and_in_another_configuration_are_found() {
    let tree = Tree::new();
    tree.plug(
        "1-1",
        "1546:110a",
        &[(0, "02/02/01", 1, "cdc_acm", "ttyACM0"), (2, "02/02/01", 1, "cdc_acm", "ttyACM1")],
    );
    tree.plug_in("1-2", "1e2d:ffff", 2, &[(0, "02/02/01", 1, "cdc_acm", "ttyACM3")]);
    let sticks = tree.scan();
    assert_eq!((numbers(&sticks[0]), numbers(&sticks[1])), (vec![0, 2], vec![0]));
    assert_eq!(sticks[1].ports()[0].name, "ttyACM3");
}

#[test]
fn what_is_no_modem_is_left_alone() {
    let tree = Tree::new();
    for (name, id, function, driver, child) in [
        ("1-1", "0403:6001", "ff/ff/ff", "ftdi_sio", "ttyUSB0"),
        ("1-2", "1a86:7523", "ff/01/02", "ch341", "ttyUSB1"),
        ("1-3", "067b:2303", "ff/00/00", "pl2303", "ttyUSB2"),
        ("1-4", "10c4:ea60", "ff/00/00", "cp210x", "ttyUSB3"),
        // An Arduino Uno claims to speak AT; a UPS; a positioning receiver.
        ("1-5", "2341:0043", "02/02/01", "cdc_acm", "ttyACM0"),
        ("1-6", "0463:ffff", "03/00/00", "usbhid", ""),
        ("1-7", "1546:01a7", "02/02/01", "cdc_acm", "ttyACM1"),
        // The Pi's own network and an ordinary adapter.
        ("1-8", "0424:ec00", "ff/00/ff", "smsc95xx", "eth0"),
        ("1-9", "0bda:8153", "02/06/00", "cdc_ether", "eth1"),
        ("1-10", "0930:6544", "08/06/50", "usb-storage", ""),
    ] {
        tree.plug(name, id, &[(0, function, 3, driver, child)]);
    }
    assert_eq!(tree.scan(), []);
    assert_eq!(scan(&Root::at("/nonexistent"), &shipped(), &BTreeSet::new()), Bus::default());
}

#[test]
fn an_unknown_network_card_of_a_modem_vendor_is_a_stick() {
    let tree = Tree::new();
    tree.plug(
        "1-1",
        "1bbb:fffe",
        &[(0, "e0/01/03", 1, "rndis_host", "usb0"), (1, "0a/00/00", 2, "rndis_host", "")],
    );
    let card = Form::NetworkCard { interface: Some("usb0".into()), ports: Vec::new() };
    assert_eq!(tree.scan()[0].form, card);
}

#[test]
fn switches_as_the_quirk_file_says() {
    let quirks = shipped();
    let arguments = |id: &str| {
        let cd_rom = quirks.iter().find_map(|quirk| cd_rom(quirk, id)).unwrap();
        switch_arguments(id, cd_rom)
    };
    let zte = arguments("19d2:2000");
    assert_eq!(zte[..6], ["-v", "19d2", "-p", "2000", "-K", "-M"]);
    assert_eq!(arguments("12d1:1f01"), ["-v", "12d1", "-p", "1f01", "-J"]);
    let unknown = switch_mode(&Root::at("/nonexistent"), &quirks, "dead:beef").unwrap_err();
    assert!(unknown.contains("dead:beef") && unknown.contains("hardware/modems"), "{unknown}");
}
