//! Sticks without a quirk file. The kernel's modem drivers bind only to ids in their tables, so a port
//! of theirs is a modem's; CDC ACM binds to anything, an Arduino and a UPS too, so there the vendor has
//! to be one of cellular modules. Everything else (plain USB-serial adapters: `ftdi_sio`, `ch341`,
//! `pl2303`, `cp210x`) is somebody else's and never written to.

use modem_proto::machine::{Form, Port};

use super::device::{Device, Interface};

/// USB drivers of cellular modems alone (drivers/usb/serial/option.c, qcserial.c, sierra.c, ipw.c).
const SERIAL_DRIVERS: [&str; 4] = ["option", "qcserial", "sierra", "ipw"];
/// Drivers of network cards, those of modems among others.
const CARD_DRIVERS: [&str; 4] = ["cdc_ether", "cdc_ncm", "huawei_cdc_ncm", "rndis_host"];
const ACM_DRIVER: &str = "cdc_acm";
/// CDC ACM with AT commands (USB CDC 1.2, PSTN subclass, tables 2 and 4). Arduinos say so as well.
const ACM_WITH_AT: &str = "02/02/01";
/// Vendors whose USB devices are cellular modems and modules: the ids in option.c, qcserial.c and
/// sierra.c that are not makers of telephones or computers, and u-blox.
const CELLULAR_VENDORS: [&str; 14] = [
    "0af0", // Option
    "1199", // Sierra Wireless
    "12d1", // Huawei
    "1546", // u-blox
    "19d2", // ZTE
    "1bbb", // TCL, Alcatel
    "1bc7", // Telit
    "1c9e", // Longcheer
    "1e0e", // SIMCom
    "1e2d", // Cinterion
    "2001", // D-Link
    "2c7c", // Quectel
    "2cb7", // Fibocom
    "2dee", // MeiG
];
/// u-blox's positioning receivers, which are no modems (`ModemManager`, 77-mm-ublox-port-types.rules).
const RECEIVERS: [&str; 5] = ["1546:01a5", "1546:01a6", "1546:01a7", "1546:01a8", "1546:01a9"];
/// Bulk in, bulk out, and the interrupt endpoint that tells of carrier and rings: option.c reads the
/// latter of a modem's port; diagnosis and NMEA ports mostly have none.
const MODEM_ENDPOINTS: u8 = 3;
/// Huawei's protocol codes: 1 is the modem, 2 the port for its PC software (`ModemManager`,
/// 77-mm-huawei-net-port-types.rules).
const HUAWEI: &str = "12d1";
/// More ports than this are not tried: each silent one costs seconds.
const MOST_PORTS: usize = 8;

/// What it seems to be; `None` for what is no modem.
pub(super) fn form(device: &Device) -> Option<(String, Form)> {
    let model = || format!("unknown stick {}", device.id);
    let ports = ports(device);
    if !ports.is_empty() {
        return Some((model(), Form::Serial { ports }));
    }
    let interface = card(device)?;
    Some((model(), Form::NetworkCard { interface: Some(interface), ports }))
}

/// Ports that may answer AT commands, the likeliest first.
pub(super) fn ports(device: &Device) -> Vec<Port> {
    let mut ports: Vec<(u8, Port)> = device
        .interfaces
        .iter()
        .filter(|interface| is_modem_port(device, interface))
        .filter_map(|interface| Some((rank(device, interface), interface.port()?)))
        .collect();
    ports.sort_by_key(|(rank, port)| order(device, *rank, port));
    ports.into_iter().map(|(_, port)| port).take(MOST_PORTS).collect()
}

fn is_modem_port(device: &Device, interface: &Interface) -> bool {
    let Some(driver) = interface.driver.as_deref() else { return false };
    let cellular = CELLULAR_VENDORS.contains(&device.vendor()) && !RECEIVERS.contains(&device.id.as_str());
    SERIAL_DRIVERS.contains(&driver)
        || (driver == ACM_DRIVER && interface.function == ACM_WITH_AT && cellular)
}

/// The lower, the likelier it is the port for PPP.
fn rank(device: &Device, interface: &Interface) -> u8 {
    if device.vendor() == HUAWEI {
        return match interface.function.rsplit('/').next() {
            Some("01") => 0,
            Some("02") => 1,
            _ => 2,
        };
    }
    u8::from(interface.endpoints < MODEM_ENDPOINTS)
}

/// Among equals: Qualcomm's compositions have diagnosis and NMEA first and the modem behind them;
/// Huawei's and CDC ACM's have the modem first.
fn order(device: &Device, rank: u8, port: &Port) -> (u8, i16) {
    let number = i16::from(port.interface);
    let first = device.vendor() == HUAWEI || port.name.starts_with("ttyACM");
    (rank, if first { number } else { -number })
}

fn card(device: &Device) -> Option<String> {
    if !CELLULAR_VENDORS.contains(&device.vendor()) {
        return None;
    }
    device
        .interfaces
        .iter()
        .filter(|interface| interface.driver.as_deref().is_some_and(|driver| CARD_DRIVERS.contains(&driver)))
        .find_map(|interface| interface.net.clone())
}
