//! A modem that behaves, or misbehaves in one way at a time: it answers what the machine sends.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::net::Ipv4Addr;

use modem_proto::codec::Response;
use modem_proto::machine::{Action, Apn, Bus, Event, Form, Link, Machine, Pin, Port, Settings, Spent, Stick};
use modem_proto::{Command, MobileError, Outcome};
use sysio::Monotonic;

/// The bus with the stick on it.
pub(crate) fn stick() -> Bus {
    let port = |name: &str, interface| Port { name: name.to_owned(), interface };
    let form = Form::Serial { ports: vec![port("ttyUSB2", 3), port("ttyUSB1", 1)] };
    Bus {
        sticks: vec![Stick {
            usb_path: "1-1".into(),
            id: "19d2:0031".into(),
            model: "ZTE MF180".into(),
            form,
        }],
    }
}

/// The bus with the stick as a CD-ROM.
pub(crate) fn cd_rom() -> Bus {
    let (usb_path, id, model) = ("1-1".into(), "19d2:2000".into(), "ZTE MF180".into());
    Bus { sticks: vec![Stick { usb_path, id, model, form: Form::CdRom }] }
}

pub(crate) fn settings(pin: Option<&str>) -> Settings {
    Settings {
        apn: Apn::new("internet"),
        pin: pin.and_then(Pin::new),
        dial_number: "*99#".into(),
        ..Settings::default()
    }
}

pub(crate) fn link() -> Link {
    Link {
        interface: "ppp0".into(),
        local: Some(Ipv4Addr::new(198, 51, 100, 20)),
        remote: Some(Ipv4Addr::new(198, 51, 100, 1)),
        dns: vec![Ipv4Addr::new(192, 0, 2, 53)],
        mtu: 1500,
        ..Link::default()
    }
}

/// A SIM and the firmware around it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one way to misbehave")]
pub(crate) struct Firmware {
    pub(crate) pin: Option<&'static str>,
    pub(crate) unlocked: bool,
    pub(crate) tries: u8,
    pub(crate) pins_sent: u32,
    pub(crate) knows_csim: bool,
    /// How often its counter is busy first.
    pub(crate) counter_busy: u8,
    /// Whether it knows `+CPINR`.
    pub(crate) knows_cpinr: bool,
    /// Says that no SIM is inserted.
    pub(crate) no_sim: bool,
    /// What the edge wrote down about the PIN.
    pub(crate) record: Vec<Spent>,
    /// What a wrong PIN is answered with.
    pub(crate) wrong: Outcome,
    /// What a right one is, if not with `OK`; the SIM takes it nevertheless.
    pub(crate) right: Option<Outcome>,
    pub(crate) registration: &'static str,
    /// Answers nothing, and keeps whoever opens its ports waiting.
    pub(crate) dead: bool,
    /// What a call ends with.
    pub(crate) call: Outcome,
    /// `AT+CFUN?`.
    pub(crate) radio: u8,
    pub(crate) iccid: Option<&'static str>,
    pub(crate) imei: &'static str,
    /// Every command it was sent, without secrets.
    pub(crate) heard: Vec<String>,
}

impl Firmware {
    pub(crate) fn new(pin: Option<&'static str>) -> Self {
        Self {
            pin,
            unlocked: pin.is_none(),
            tries: 3,
            pins_sent: 0,
            knows_csim: true,
            counter_busy: 0,
            knows_cpinr: false,
            no_sim: false,
            record: Vec::new(),
            wrong: Outcome::Mobile(MobileError::Code(16)),
            right: None,
            registration: "1",
            dead: false,
            call: Outcome::Connect("7200000".into()),
            radio: 1,
            iccid: None,
            imei: "354762020123456",
            heard: Vec::new(),
        }
    }

    pub(crate) fn answer(&mut self, command: &Command) -> Response {
        let text = String::from_utf8(command.wire()).unwrap();
        self.heard.push(command.to_string());
        let say = |line: &str| Response { outcome: Outcome::Ok, lines: vec![line.to_owned()] };
        match text.trim() {
            "AT+CPIN?" if self.no_sim => mobile(10),
            "AT+CPIN?" if self.unlocked => say("+CPIN: READY"),
            "AT+CPIN?" if self.tries == 0 => say("+CPIN: SIM PUK"),
            "AT+CPIN?" => say("+CPIN: SIM PIN"),
            "AT+CSIM=10,\"0020000100\"" if self.counter_busy > 0 => {
                self.counter_busy -= 1;
                mobile(14)
            }
            "AT+CPINR=\"SIM PIN\"" if self.knows_cpinr => say(&format!("+CPINR: SIM PIN,{},3", self.tries)),
            "AT+CSIM=10,\"0020000100\"" if self.knows_csim => say(&format!("+CSIM: 4,\"63C{}\"", self.tries)),
            "AT+CSIM=10,\"0020000100\"" => failed(),
            "AT+CREG?" => say(&format!("+CREG: 0,{}", self.registration)),
            "AT+CGREG?" => say(&format!("+CGREG: 0,{}", self.registration)),
            "AT+CSQ" => say("+CSQ: 18,99"),
            "AT+CFUN?" => say(&format!("+CFUN: {}", self.radio)),
            "AT+CGSN" => say(self.imei),
            "AT+CCID" => self.iccid.map_or_else(failed, |iccid| say(&format!("+CCID: {iccid}"))),
            text if text.starts_with("AT+CFUN=") => {
                self.radio = text.as_bytes()[8] - b'0';
                Response { outcome: Outcome::Ok, lines: Vec::new() }
            }
            "ATD*99#" => Response { outcome: self.call.clone(), lines: Vec::new() },
            text if text.starts_with("AT+CPIN=") => self.take_pin(text),
            _ => Response { outcome: Outcome::Ok, lines: Vec::new() },
        }
    }

    fn take_pin(&mut self, text: &str) -> Response {
        self.pins_sent += 1;
        self.unlocked = self.pin.is_some_and(|pin| text.contains(pin));
        self.tries = if self.unlocked { 3 } else { self.tries.saturating_sub(1) };
        let right = self.right.clone().unwrap_or(Outcome::Ok);
        Response { outcome: if self.unlocked { right } else { self.wrong.clone() }, lines: Vec::new() }
    }
}

fn mobile(code: u16) -> Response {
    Response { outcome: Outcome::Mobile(MobileError::Code(code)), lines: Vec::new() }
}

fn failed() -> Response {
    Response { outcome: Outcome::Error, lines: Vec::new() }
}

/// What the world makes of the machine's actions, until it waits for time to pass.
pub(crate) fn settle(machine: &mut Machine, now: Monotonic, actions: Vec<Action>, firmware: &mut Firmware) {
    let mut queue: std::collections::VecDeque<Action> = actions.into();
    for _ in 0..1000 {
        let Some(action) = queue.pop_front() else { return };
        let event = match action {
            Action::Scan => Event::Bus(stick()),
            Action::Open(_) | Action::Send(_) if firmware.dead => continue,
            Action::Open(_) => Event::Opened(Ok(())),
            Action::Send(command) => {
                if command.carries_pin() {
                    write_down(firmware, machine, Some(false));
                }
                Event::Answer(firmware.answer(&command))
            }
            Action::SettlePin => {
                write_down(firmware, machine, None);
                continue;
            }
            Action::RefusePin => {
                write_down(firmware, machine, Some(true));
                continue;
            }
            Action::ForgetPin => {
                firmware.record.clear();
                continue;
            }
            Action::StartSession | Action::StartCard { .. } => Event::SessionUp(link()),
            Action::EndSession => Event::SessionEnded(modem_proto::machine::SessionEnd::Code(5)),
            Action::LookUpApn { .. } => Event::AccessPoint(None),
            Action::SwitchMode { .. } | Action::Close | Action::KillSession => continue,
        };
        queue.extend(machine.step(now, 50, event));
    }
    panic!("the machine never waits: {:?}", machine.state());
}

fn write_down(firmware: &mut Firmware, machine: &Machine, refused: Option<bool>) {
    let sim = machine.sim().cloned();
    firmware.record.retain(|spent| spent.sim != sim);
    firmware.record.extend(refused.map(|refused| Spent { sim, refused }));
}

/// Lets time pass to the machine's next deadline.
pub(crate) fn tick(machine: &mut Machine, now: &mut Monotonic, firmware: &mut Firmware) {
    *now = machine.next_deadline().max(*now);
    let actions = machine.step(*now, 50, Event::Tick);
    settle(machine, *now, actions, firmware);
}
