use super::*;
use crate::topology::{DEVICES, Device};
use crate::usb::PortStatus;
use std::cell::RefCell;
use std::path::PathBuf;

/// A hub without the kernel's switch.
struct Hub {
    devices: PathBuf,
    /// It really cuts the power.
    cuts: bool,
    /// What it says of its ports: powered.
    says_powered: bool,
    log: RefCell<Vec<(u8, bool)>>,
}

impl Usb for Hub {
    fn characteristics(&self, _: &Device) -> Result<u16, UsbError> {
        Ok(9)
    }
    fn port_status(&self, _: &Device, _: u8) -> Result<PortStatus, UsbError> {
        Ok(PortStatus { power: self.says_powered, connected: false })
    }
    fn set_power(&self, _: &Device, port: u8, on: bool) -> Result<(), UsbError> {
        self.log.borrow_mut().push((port, on));
        if port == 3 {
            let error = rusb::Error::Pipe;
            return Err(UsbError::Request { what: "switch", device: "1-1".into(), error });
        }
        let stick = self.devices.join("1-1.1");
        if !on && self.cuts {
            let _ = fs::remove_dir_all(&stick);
        } else if on {
            device(&self.devices, "1-1.1", 0);
        }
        Ok(())
    }
    fn ping(&self, _: &Device) -> Result<(), UsbError> {
        Ok(())
    }
    fn reset(&self, _: &Device) -> Result<(), UsbError> {
        Ok(())
    }
}

fn device(devices: &std::path::Path, name: &str, ports: u8) {
    let folder = devices.join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, value) in [("idVendor", "19d2"), ("idProduct", "0031"), ("busnum", "1"), ("devnum", "2")] {
        fs::write(folder.join(file), value).unwrap();
    }
    fs::write(folder.join("maxchild"), ports.to_string()).unwrap();
}

fn bench(cuts: bool, says_powered: bool) -> (tempfile::TempDir, Root, Hub) {
    let dir = tempfile::tempdir().unwrap();
    let devices = dir.path().join(DEVICES.trim_start_matches('/'));
    device(&devices, "1-1", 8);
    device(&devices, "1-1.1", 0);
    let root = Root::at(dir.path());
    (dir, root, Hub { devices, cuts, says_powered, log: RefCell::default() })
}

fn plan(ports: &[&str]) -> Plan {
    let switch = ports.iter().map(|name| Port::parse(name).unwrap()).collect();
    Plan { target: "1-1.1".into(), switch, others: Vec::new(), by: String::new() }
}

#[test]
fn off_is_proven_by_the_device_that_vanishes_and_on_forgets_the_note() {
    let (_dir, root, hub) = bench(true, false);
    let switch = Switch { root: &root, usb: &hub };
    switch.off(&plan(&["1-1.1"]), false).unwrap();
    let off = Hold::new(&root).read().unwrap();
    assert_eq!((off.target.as_str(), off.held), ("1-1.1", false));
    switch.on(&off.ports()).unwrap();
    assert!(switch.wait_for("1-1.1", Duration::ZERO));
    assert_eq!(Hold::new(&root).read(), None);
    assert_eq!(*hub.log.borrow(), [(1, false), (1, true)]);
}

#[test]
fn a_hub_that_only_says_so_is_found_out() {
    for (cuts, says_powered, word) in [(false, false, "still there"), (true, true, "still powered")] {
        let (_dir, root, hub) = bench(cuts, says_powered);
        let error = Switch { root: &root, usb: &hub }.off(&plan(&["1-1.1"]), false).unwrap_err();
        assert!(error.is_proof_of_uselessness() && error.to_string().contains(word), "{error}");
        assert!(Hold::new(&root).read().is_some(), "power is owed until it is back");
    }
}

#[test]
fn one_port_that_fails_does_not_keep_the_others_off() {
    let (_dir, root, hub) = bench(true, false);
    let switch = Switch { root: &root, usb: &hub };
    Hold::new(&root)
        .note(&Off { target: "1-1.1".into(), ports: Vec::new(), held: false, since_ms: 0 })
        .unwrap();
    let ports: Vec<Port> = ["1-1.3", "1-1.1"].iter().filter_map(|n| Port::parse(n)).collect();
    assert!(switch.on(&ports).is_err());
    assert_eq!(*hub.log.borrow(), [(3, true), (1, true)]);
    assert!(Hold::new(&root).read().is_some());
}

#[test]
fn the_kernels_switch_is_preferred() {
    let (_dir, root, hub) = bench(true, false);
    let attribute = Port::parse("1-1.1").unwrap().disable_attribute(&root);
    fs::create_dir_all(attribute.parent().unwrap()).unwrap();
    fs::write(&attribute, "0").unwrap();
    // The kernel drops the device before the hub is asked.
    fs::remove_dir_all(hub.devices.join("1-1.1")).unwrap();
    Switch { root: &root, usb: &hub }.off(&plan(&["1-1.1"]), true).unwrap();
    assert_eq!(fs::read_to_string(&attribute).unwrap(), "1");
    assert!(hub.log.borrow().is_empty());
}

#[test]
fn a_second_port_is_not_switched_off_and_another_one_on_forgets_nothing() {
    let (_dir, root, hub) = bench(true, false);
    let switch = Switch { root: &root, usb: &hub };
    switch.off(&plan(&["1-1.1"]), true).unwrap();
    let other = Plan { target: "1-1.2".into(), ..plan(&["1-1.2"]) };
    assert!(matches!(switch.off(&other, true), Err(SwitchError::Another(_))));
    assert_eq!(*hub.log.borrow(), [(1, false)]);
    switch.on(&other.switch).unwrap();
    assert_eq!(Hold::new(&root).read().unwrap().ports, ["1-1.1"]);
    switch.off(&plan(&["1-1.1"]), true).unwrap();
}
