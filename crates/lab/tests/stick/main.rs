//! The emulated stick from the other side of the wire: enumeration, mode switch, dialling, PPP and
//! a ping through to a network namespace, as the guest's kernel and pppd would do it.
//!
//! Needs the right to make network namespaces and TUN devices, as everything in the lab does.

mod faults;
mod guest;
mod subscriber;

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use guest::{Guest, PATIENCE, u16_at};
use lab::carrier::{AuthMethod, CallState};
use lab::fault::Kind;
use lab::stick::{Personality, SimConfig, StickCommand, StickConfig, StickHandle, Timing};
use nix::sched::{CloneFlags, unshare};
use subscriber::{Ppp, at, at_until, echo_request};

const SUBSCRIBER: [u8; 4] = [198, 51, 100, 20];
const GATEWAY: [u8; 4] = [198, 51, 100, 1];
/// Long enough that something which was to come has come.
const SETTLE: Duration = Duration::from_millis(300);

/// A stick, its guest, and the namespace its TUN device lives in.
struct Bench {
    stick: StickHandle,
    guest: Guest,
    _folder: tempfile::TempDir,
    _namespace: File,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stick.stop();
    }
}

impl Bench {
    fn new(sim: SimConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redir.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (namespace, path) = new_namespace();
        let mut config = StickConfig::new(&socket);
        config.sim = sim;
        config.timing = quick();
        config.carrier.netns = Some(path);
        config.carrier.answer_delay = Duration::from_millis(10);
        assert_eq!(config.carrier.auth.methods[0], AuthMethod::Chap);
        let stick = lab::stick::start(config).expect("start the stick: needs root or a user namespace");
        let guest = Guest::accept(&listener);
        Self { stick, guest, _folder: folder, _namespace: namespace }
    }

    /// As a modem, configured, DTR up, status polled.
    fn modem() -> Self {
        Self::modem_with(SimConfig::default())
    }

    fn modem_with(sim: SimConfig) -> Self {
        let mut bench = Self::new(sim);
        bench.switch();
        bench
    }

    fn switch(&mut self) {
        let (_, vendor, product) = self.guest.device();
        assert_eq!((vendor, product), (0x19d2, 0x2000));
        self.guest.configure();
        // usb_modeswitch's StandardEject: allow removal, then START STOP UNIT with LoEj.
        for command in [[0x1e, 0, 0, 0, 0, 0], [0x1b, 0, 0, 0, 2, 0]] {
            assert_eq!(self.scsi(&command, 0), (vec![], 0));
        }
        self.guest.wait_gone();
        let (_, vendor, product) = self.guest.device();
        assert_eq!((vendor, product), (0x19d2, 0x0031));
        self.guest.configure();
        self.guest.poll_status(0x88);
        self.dtr(true);
    }

    /// One SCSI command; data and status.
    fn scsi(&mut self, command: &[u8], length: u32) -> (Vec<u8>, u8) {
        let mut cbw = b"USBC\x01\x02\x03\x04".to_vec();
        cbw.extend(length.to_le_bytes());
        cbw.extend([0x80, 0, u8::try_from(command.len()).unwrap()]);
        cbw.extend(command);
        cbw.resize(31, 0);
        self.guest.bulk_out(0x01, &cbw);
        let mut read = || self.guest.bulk_in(0x81, PATIENCE).expect("the drive answers");
        let data = if length > 0 { read() } else { Vec::new() };
        let csw = read();
        assert_eq!(csw[..8], *b"USBS\x01\x02\x03\x04");
        (data, csw[12])
    }

    fn dtr(&mut self, on: bool) {
        let (status, _) = self.guest.control([0x21, 0x22, u8::from(on), 0, 3, 0, 0, 0]);
        assert_eq!(status, 0);
    }

    fn dial(&mut self) {
        at_until(&mut self.guest, "ATE0+CREG?", "+CREG: 0,1");
        at(&mut self.guest, "AT+CGDCONT=1,\"IP\",\"internet\"", "OK");
        at(&mut self.guest, "ATD*99#", "CONNECT 7200000\r\n");
        assert_eq!(self.guest.interrupt()[8] & 1, 1, "carrier detect is on");
    }

    fn wait_call(&self, wanted: CallState) {
        self.stick.wait_for(PATIENCE, |state| state.carrier.call == wanted).expect("the call changes");
    }
}

fn quick() -> Timing {
    let short = Duration::from_millis(20);
    Timing {
        power_up: short,
        eject: short,
        mode_switch: short,
        sim_ready: short,
        register: short,
        noise: Duration::from_secs(60),
    }
}

/// A fresh network namespace, kept alive by its open file.
fn new_namespace() -> (File, PathBuf) {
    use std::os::fd::AsRawFd;
    let file = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
        File::open("/proc/thread-self/ns/net").unwrap()
    })
    .join()
    .unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into();
    (file, path)
}

#[test]
fn switches_from_cdrom_to_modem_with_the_endpoints_the_option_driver_needs() {
    let mut bench = Bench::new(SimConfig::default());
    let (_, vendor, product) = bench.guest.device();
    assert_eq!((vendor, product), (0x19d2, 0x2000));
    bench.guest.configure();
    let (inquiry, status) = bench.scsi(&[0x12, 0, 0, 0, 36, 0], 36);
    assert_eq!((inquiry[0] & 0x1f, status), (5, 0), "a CD-ROM drive");
    bench.scsi(&[0x85, 1, 1, 1, 0x18, 1, 1, 1, 1, 1, 0, 0], 32);
    bench.guest.wait_gone();
    let (endpoints, _, product) = bench.guest.device();
    assert_eq!(product, 0x0031);
    let kinds = &endpoints[..32];
    assert_eq!((&kinds[1..5], &kinds[17..21]), (&[2; 4][..], &[2; 4][..]), "four pairs of bulk endpoints");
    assert_eq!((kinds[22], kinds[24]), (3, 3), "interrupt endpoints of interfaces 1 and 3");
    let (status, descriptor) = bench.guest.control([0x80, 6, 0, 1, 0, 0, 18, 0]);
    assert_eq!((status, u16_at(&descriptor, 8), u16_at(&descriptor, 10)), (0, 0x19d2, 0x0031));
    assert_eq!(bench.stick.state().mode_switches, 1);
}

#[test]
fn dials_negotiates_and_pings_through_to_the_namespace() {
    let mut bench = Bench::modem();
    bench.dial();
    let mut ppp = Ppp::negotiate(&mut bench.guest);
    assert_eq!((ppp.address, ppp.dns), (SUBSCRIBER, [192, 0, 2, 53]));
    bench.wait_call(CallState::Open);
    let reply = ppp.exchange(&mut bench.guest, &echo_request(SUBSCRIBER, GATEWAY));
    assert_eq!((&reply[12..20], reply[20]), (&[GATEWAY, SUBSCRIBER].concat()[..], 0), "an echo reply");
    assert!(reply.ends_with(b"through the stick"));
    let stats = bench.stick.carrier().stats();
    assert_eq!((stats.up_packets, stats.spoofed), (1, 0));
}

#[test]
fn a_packet_that_was_not_masqueraded_does_not_reach_the_internet() {
    let mut bench = Bench::modem();
    bench.dial();
    let mut ppp = Ppp::negotiate(&mut bench.guest);
    let spoofed = echo_request([192, 168, 1, 2], GATEWAY);
    bench.guest.bulk_out(subscriber::OUT, &lab::carrier::ppp::hdlc::Framing::PLAIN.frame(0x21, &spoofed));
    ppp.exchange(&mut bench.guest, &echo_request(SUBSCRIBER, GATEWAY));
    let stats = bench.stick.carrier().stats();
    assert_eq!((stats.spoofed, stats.up_packets), (1, 1));
}

#[test]
fn a_dropped_call_says_no_carrier_lowers_dcd_and_can_be_dialled_again() {
    let mut bench = Bench::modem();
    bench.dial();
    Ppp::negotiate(&mut bench.guest);
    bench.stick.carrier().drop_call();
    assert_eq!(bench.guest.interrupt()[8] & 1, 0, "carrier detect is off");
    assert!(at(&mut bench.guest, "", "NO CARRIER").contains("NO CARRIER"));
    bench.wait_call(CallState::Idle);

    bench.stick.carrier().refuse_calls();
    at(&mut bench.guest, "ATD*99***1#", "NO CARRIER");
    assert!(at(&mut bench.guest, "AT+CEER", "OK").contains("+CEER: PDP context deactivated"));
    bench.stick.carrier().accept_calls();
    bench.dial();
    Ppp::negotiate(&mut bench.guest);
    bench.wait_call(CallState::Open);
    assert_eq!(bench.stick.carrier().stats().calls, 2);
}

#[test]
fn losing_dtr_hangs_up() {
    let mut bench = Bench::modem();
    bench.dial();
    bench.dtr(false);
    assert_eq!(bench.guest.interrupt()[8] & 1, 0);
    bench.wait_call(CallState::Idle);
}

#[test]
fn a_hung_stick_answers_nothing_until_it_loses_power() {
    let mut bench = Bench::modem();
    at(&mut bench.guest, "AT", "OK");
    bench.stick.command(StickCommand::Fault(Kind::Hang.into()));
    bench.stick.wait_for(PATIENCE, |state| state.hung).unwrap();
    let written = bench.guest.start_bulk_out(subscriber::OUT, b"AT\r");
    assert_eq!(bench.guest.bulk_in(subscriber::IN, SETTLE), None);
    assert_eq!(bench.guest.cancel(101, written), 1, "the controller takes the write back");
    let asked = bench.guest.start_control([0x80, 0, 0, 0, 0, 0, 2, 0]);
    assert_eq!(bench.guest.cancel(100, asked), 1);

    bench.stick.power_lost();
    bench.guest.wait_gone();
    bench.stick.power_restored();
    bench.switch();
    at(&mut bench.guest, "AT", "OK");
    let state = bench.stick.state();
    assert!(!state.hung);
    assert_eq!(state.personality, Personality::Modem);
}

#[test]
fn unplugging_and_the_return_are_seen_by_the_guest() {
    let mut bench = Bench::modem();
    bench.stick.command(StickCommand::Unplug);
    bench.guest.wait_gone();
    bench.stick.command(StickCommand::Replug);
    assert_eq!(bench.guest.device().2, 0x2000);
}

#[test]
fn the_pin_counter_survives_power_loss_and_the_pin_opens_the_network() {
    let mut bench = Bench::modem_with(SimConfig { pin: Some("1234".into()), ..SimConfig::default() });
    let guest = &mut bench.guest;
    at(guest, "ATE0+CMEE=1", "OK");
    at_until(guest, "AT+CPIN?", "+CPIN: SIM PIN");
    assert!(at(guest, "AT+CPIN=\"0000\"", "ERROR: 16").contains("+CME ERROR: 16"));
    assert!(at(guest, "AT+CSIM=10,\"0020000100\"", "OK").contains("+CSIM: 4,\"63C2\""));
    assert_eq!(bench.stick.state().pin_retries, 2);
    bench.stick.power_lost();
    bench.guest.wait_gone();
    bench.stick.power_restored();
    bench.switch();
    at_until(&mut bench.guest, "ATE0+CPIN?", "+CPIN: SIM PIN");
    assert!(at(&mut bench.guest, "AT+CREG?", "OK").contains("+CREG: 0,2"), "searching, not registered");
    assert_eq!(bench.stick.state().pin_retries, 2);
    at(&mut bench.guest, "AT+CPIN=\"1234\"", "OK");
    at_until(&mut bench.guest, "AT+CREG?", "+CREG: 0,1");
    assert_eq!(bench.stick.state().pin_retries, 3);
}

#[test]
fn the_switched_off_cdrom_stays_off_and_a_full_reset_comes_back() {
    let mut bench = Bench::modem();
    at(&mut bench.guest, "AT+ZCDRUN=8", "OK");
    bench.guest.bulk_out(subscriber::OUT, b"AT+CFUN=1,1\r");
    bench.guest.wait_gone();
    assert_eq!(bench.guest.device().2, 0x0031);
}
