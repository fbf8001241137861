//! What the firmware answers to each command: V.250 for the letters, 3GPP TS 27.007 for `+C…`,
//! ZTE's own for `+Z…`. Adding a command is adding an arm to [`Firmware::extended`].

use std::time::Duration;

use super::at::{Command, Op, parameters};
use super::fault;
use super::firmware::{Call, Context, Firmware, FwAction, Persistent};
use super::sim::Lock;
use crate::fault::{Event, Kind};

/// Error codes of the mobile equipment (3GPP TS 27.007 section 9.2).
mod cme {
    pub(super) const NOT_ALLOWED: u16 = 3;
    pub(super) const SIM_PIN: u16 = 11;
    pub(super) const SIM_PUK: u16 = 12;
    pub(super) const SIM_FAILURE: u16 = 13;
    pub(super) const SIM_BUSY: u16 = 14;
    pub(super) const WRONG_PASSWORD: u16 = 16;
    pub(super) const NO_SERVICE: u16 = 30;
    pub(super) const INVALID: u16 = 50;
}

/// Highest context id; what Qualcomm's firmware takes.
const CONTEXTS: u32 = 16;
/// An IMEI of the range reserved for test equipment (type allocation code 001...).
const IMEI: &str = "001017005847381";
/// Signal: −113 + 2 · 20 = −73 dBm; 99 is unknown (TS 27.007 section 8.5).
const SIGNAL: &str = "+CSQ: 20,99";
const NO_SIGNAL: &str = "+CSQ: 99,99";

/// How a command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// `ERROR`, whatever `+CMEE` says.
    Unknown,
    /// `+CME ERROR`.
    Equipment(u16),
    /// `NO CARRIER`.
    NoCarrier,
}

/// How a line goes on after a command.
enum Done {
    /// Information lines, then the next command.
    Lines(Vec<String>),
    /// The line ends here and something else says its result.
    NoResult,
}

type Answer = Result<Done, Failure>;

#[expect(clippy::unnecessary_wraps, reason = "an answer among others")]
fn ok() -> Answer {
    Ok(Done::Lines(Vec::new()))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer among others")]
fn line(text: impl Into<String>) -> Answer {
    Ok(Done::Lines(vec![text.into()]))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer among others")]
fn lines<const N: usize>(texts: [&str; N]) -> Answer {
    Ok(Done::Lines(texts.map(str::to_owned).into()))
}

impl Firmware {
    /// Runs the commands of a line until one fails; one final result for all of them.
    pub(crate) fn run(&mut self, now: Duration, port: u8, commands: &[Command], persistent: &mut Persistent) {
        if persistent.faults.has(Kind::ErrorToAll) {
            self.result(port, "ERROR");
            return;
        }
        for command in commands {
            let answer = match command {
                Command::Basic(name, value) => self.basic(port, name, *value),
                Command::Register(_, None) => line("000"),
                Command::Register(_, Some(_)) => ok(),
                Command::Dial(number) => self.dial_string(port, number),
                Command::Extended(name, op) => self.extended(now, port, name, op, persistent),
            };
            match answer {
                Ok(Done::Lines(texts)) => texts.iter().for_each(|text| self.say(port, text)),
                Ok(Done::NoResult) => return,
                Err(failure) => {
                    let text = self.failure(failure);
                    self.result(port, &text);
                    return;
                }
            }
        }
        self.result(port, "OK");
    }

    fn failure(&self, failure: Failure) -> String {
        match (failure, self.verbose_errors) {
            (Failure::NoCarrier, _) => "NO CARRIER".into(),
            (Failure::Unknown, _) | (Failure::Equipment(_), 0) => "ERROR".into(),
            (Failure::Equipment(number), 1) => format!("+CME ERROR: {number}"),
            (Failure::Equipment(number), _) => format!("+CME ERROR: {}", cme_text(number)),
        }
    }

    fn basic(&mut self, number: u8, name: &str, value: u32) -> Answer {
        match name {
            "H" => {
                self.hang_up();
                return ok();
            }
            "O" if self.resume(number) => {
                self.result(number, "CONNECT 7200000");
                return Ok(Done::NoResult);
            }
            "O" => return Err(Failure::NoCarrier),
            "Z" => self.hang_up(),
            "I" => {
                return lines([
                    "Manufacturer: ZTE CORPORATION",
                    "Model: MF180",
                    "Revision: BD_FBP680A1V1.0.0B01",
                    "IMEI: 001017005847381",
                    "+GCAP: +CGSM,+DS,+ES",
                ]);
            }
            _ => {}
        }
        let Some(port) = self.port_mut(number) else { return Err(Failure::Unknown) };
        match (name, value) {
            ("E", 0..=1) => port.echo = value == 1,
            ("V", 0..=1) => port.verbose = value == 1,
            ("Q", 0..=1) => port.quiet = value == 1,
            ("&C", 0..=1) => port.follow_carrier = value == 1,
            ("&D", 0..=2) => port.follow_dtr = value != 0,
            ("Z", 0..=1) | ("&F", 0) => port.defaults(),
            // Loudspeaker, result code set, flow control, stored profiles: nothing to change.
            ("L" | "M" | "P" | "T" | "X" | "&K" | "&S" | "&V" | "&W" | "&Y", _) => {}
            _ => return Err(Failure::Unknown),
        }
        ok()
    }

    fn extended(
        &mut self,
        now: Duration,
        port: u8,
        name: &str,
        op: &Op,
        persistent: &mut Persistent,
    ) -> Answer {
        if let Some(code) = fault::refusal(&persistent.faults, name, op) {
            return Err(Failure::Equipment(code));
        }
        match (name, op) {
            ("+CPIN" | "+CIMI" | "+CSIM" | "+CPMS", _) => self.card(now, name, op, persistent),
            ("+CREG" | "+CGREG", _) => self.registration_command(port, name, op),
            ("+CGMI" | "+GMI", Op::Run) => line("ZTE CORPORATION"),
            ("+CGMM" | "+GMM", Op::Run) => line("MF180"),
            ("+CGMR" | "+GMR", Op::Run) => line("BD_FBP680A1V1.0.0B01"),
            ("+CGSN" | "+GSN", Op::Run) => line(IMEI),
            ("+GCAP", Op::Run) => line("+GCAP: +CGSM,+DS,+ES"),
            ("+CSQ", Op::Run) => {
                line(if self.registered && !self.cell.signal_unknown { SIGNAL } else { NO_SIGNAL })
            }
            ("+CMEE", Op::Set(value)) => {
                self.verbose_errors = numeric(value, 0..=2)?;
                ok()
            }
            ("+CMEE", Op::Read) => line(format!("+CMEE: {}", self.verbose_errors)),
            ("+CFUN", Op::Read) => line(format!("+CFUN: {}", self.functionality)),
            ("+CFUN", Op::Set(value)) => self.functionality_command(port, value),
            ("+COPS", _) => self.operator(op),
            ("+CGATT", Op::Read) => line(format!("+CGATT: {}", u8::from(self.registered && !self.detached))),
            ("+CGATT", Op::Set(value)) => self.attach(value),
            ("+CGDCONT", _) => self.context_command(op),
            ("+CGACT", Op::Read) => line(format!("+CGACT: 1,{}", u8::from(self.call != Call::Idle))),
            ("+CEER", Op::Run) => line(format!("+CEER: {}", self.cause)),
            ("+CPAS", Op::Run) => line(format!("+CPAS: {}", if self.call == Call::Idle { 0 } else { 4 })),
            // Data service only; local rates; message service: accepted and without effect here.
            (
                "+FCLASS" | "+IFC" | "+ICF" | "+IPR" | "+CNMI" | "+CMGF" | "+CSCS" | "+CRC" | "+ZOPRT"
                | "+ZSNT" | "+CGQREQ" | "+CGQMIN" | "+CGEQREQ",
                Op::Set(_),
            ) => ok(),
            ("+ZCDRUN", Op::Set(value)) => autorun(value, persistent),
            _ => Err(Failure::Unknown),
        }
    }

    fn card(&mut self, now: Duration, name: &str, op: &Op, persistent: &mut Persistent) -> Answer {
        if !self.sim_ready(now) {
            return Err(Failure::Equipment(cme::SIM_BUSY));
        }
        let sim = &mut persistent.sim;
        match (name, op) {
            ("+CPIN", Op::Read) => match sim.lock() {
                Lock::Open => line("+CPIN: READY"),
                Lock::Pin => line("+CPIN: SIM PIN"),
                Lock::Puk => line("+CPIN: SIM PUK"),
                Lock::Dead => Err(Failure::Equipment(cme::SIM_FAILURE)),
            },
            ("+CPIN", Op::Set(value)) => {
                let right = match (sim.lock(), &parameters(value)[..]) {
                    (Lock::Pin, [pin, ..]) => sim.verify(pin),
                    (Lock::Puk, [puk, new_pin]) => sim.unblock(puk, new_pin),
                    (Lock::Puk, _) => return Err(Failure::Equipment(cme::SIM_PUK)),
                    (Lock::Open, _) => return Err(Failure::Equipment(cme::NOT_ALLOWED)),
                    _ => return Err(Failure::Equipment(cme::SIM_FAILURE)),
                };
                if right {
                    for asked in [Kind::SimPin, Kind::PinTries, Kind::PinTriesHidden] {
                        persistent.faults.clear(asked);
                    }
                }
                if right { ok() } else { Err(Failure::Equipment(cme::WRONG_PASSWORD)) }
            }
            ("+CSIM", _) if persistent.faults.has(Kind::PinTriesHidden) => Err(Failure::Unknown),
            ("+CSIM", Op::Set(apdu)) => match &parameters(apdu)[..] {
                // VERIFY PIN without data asks for the tries left and costs none.
                [_, command] if command == "0020000100" => {
                    let status = sim.pin_status();
                    line(format!("+CSIM: {},\"{status}\"", status.len()))
                }
                // 6D00: instruction not supported (ISO 7816-4).
                [_, _] => line("+CSIM: 4,\"6D00\""),
                _ => Err(Failure::Equipment(cme::INVALID)),
            },
            _ if sim.lock() == Lock::Pin => Err(Failure::Equipment(cme::SIM_PIN)),
            _ if sim.lock() == Lock::Puk => Err(Failure::Equipment(cme::SIM_PUK)),
            ("+CIMI", Op::Run) => line(sim.imsi()),
            ("+CPMS", Op::Read) => {
                // Having read where messages are kept, the firmware stops telling of them.
                persistent.faults.clear(Kind::UrcFlood);
                line("+CPMS: \"ME\",0,100,\"ME\",0,100,\"SM\",0,20")
            }
            ("+CPMS", Op::Set(_)) => line("+CPMS: 0,100,0,100,0,20"),
            _ => Err(Failure::Unknown),
        }
    }

    fn registration_command(&mut self, port: u8, name: &str, op: &Op) -> Answer {
        let service = usize::from(name == "+CGREG");
        let status = self.registration(service == 1);
        let Some(port) = self.port_mut(port) else { return Err(Failure::Unknown) };
        match op {
            Op::Read => line(format!("{name}: {},{status}", port.report[service])),
            Op::Test => line(format!("{name}: (0-1)")),
            Op::Set(value) => {
                port.report[service] = u8::try_from(numeric(value, 0..=1)?).unwrap_or(0);
                ok()
            }
            Op::Run => Err(Failure::Unknown),
        }
    }

    fn functionality_command(&mut self, port: u8, value: &str) -> Answer {
        if parameters(value).get(1).is_some_and(|reset| reset == "1") {
            self.result(port, "OK");
            self.actions.push(FwAction::Restart);
            return Ok(Done::NoResult);
        }
        self.functionality = numeric(value, 0..=5)?;
        if self.functionality != 1 {
            self.deregister();
            self.actions.push(FwAction::Happened(Event::Radio));
        }
        ok()
    }

    fn operator(&mut self, op: &Op) -> Answer {
        match op {
            Op::Read if !self.registered => line("+COPS: 0"),
            Op::Read => {
                let name = ["Failberry Test Network", "Failberry", "00101"]
                    .get(self.operator_format as usize)
                    .copied()
                    .unwrap_or_default();
                // 2 is UTRAN (TS 27.007 section 7.3).
                line(format!("+COPS: 0,{},\"{name}\",2", self.operator_format))
            }
            Op::Set(value) => match &parameters(value)[..] {
                [mode, format] if mode == "3" => {
                    self.operator_format = numeric(format, 0..=2)?;
                    ok()
                }
                [mode, ..] if mode == "0" => ok(),
                _ => Err(Failure::Equipment(cme::INVALID)),
            },
            _ => Err(Failure::Unknown),
        }
    }

    fn attach(&mut self, value: &str) -> Answer {
        match numeric(value, 0..=1)? {
            0 => {
                self.detached = true;
                self.hang_up();
                self.actions.push(FwAction::Happened(Event::Reattach));
                ok()
            }
            _ if !self.registered => Err(Failure::Equipment(cme::NO_SERVICE)),
            _ => {
                self.detached = false;
                ok()
            }
        }
    }

    fn context_command(&mut self, op: &Op) -> Answer {
        match op {
            Op::Test => line("+CGDCONT: (1-16),\"IP\",,,(0-2),(0-4)"),
            Op::Read => Ok(Done::Lines(
                self.contexts
                    .iter()
                    .map(|(cid, Context { kind, apn })| {
                        format!("+CGDCONT: {cid},\"{kind}\",\"{apn}\",\"\",0,0")
                    })
                    .collect(),
            )),
            Op::Set(value) => {
                let parameters = parameters(value);
                let cid = numeric(parameters.first().map_or("", String::as_str), 1..=CONTEXTS)?;
                let Some(kind) = parameters.get(1) else {
                    self.contexts.remove(&cid);
                    return ok();
                };
                if !["IP", "IPV6", "IPV4V6", "PPP"].contains(&&kind[..]) {
                    return Err(Failure::Equipment(cme::INVALID));
                }
                let apn = parameters.get(2).cloned().unwrap_or_default();
                self.contexts.insert(cid, Context { kind: kind.clone(), apn });
                ok()
            }
            Op::Run => Err(Failure::Unknown),
        }
    }

    /// `*99#` and `*99***<cid>#` activate a context (TS 27.007 section 10.2.1.1); other numbers
    /// are voice, which a data stick does not do.
    fn dial_string(&mut self, port: u8, number: &str) -> Answer {
        let number = number.trim_start_matches(['T', 't', 'P', 'p']);
        let cid = match number.strip_prefix("*99").and_then(|rest| rest.strip_suffix('#')) {
            Some("") => 1,
            Some(rest) => {
                let cid = rest.strip_prefix("***").and_then(|cid| cid.parse().ok());
                cid.ok_or(Failure::Unknown)?
            }
            None => return Err(Failure::NoCarrier),
        };
        let Some(context) = self.contexts.get(&cid) else {
            self.cause = "Unknown PDP context";
            return Err(Failure::Unknown);
        };
        if self.call != Call::Idle || !self.registered || self.detached || self.cell.packet_status.is_some() {
            self.cause = if self.registered { "GPRS services not allowed" } else { "No network service" };
            return Err(Failure::NoCarrier);
        }
        let ipv6 = context.kind != "IP";
        self.dial(port, ipv6);
        Ok(Done::NoResult)
    }
}

/// `+ZCDRUN=8` switches the CD-ROM off for good, `9` brings it back.
fn autorun(value: &str, persistent: &mut Persistent) -> Answer {
    persistent.cdrom_off = numeric(value, 8..=9)? == 8;
    line("Close autorun state result(0:FAIL 1:SUCCESS):1")
}

/// The first parameter as a number in a range.
fn numeric(value: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, Failure> {
    let first = parameters(value).into_iter().next().unwrap_or_default();
    first.parse().ok().filter(|number| range.contains(number)).ok_or(Failure::Equipment(cme::INVALID))
}

/// Texts of `+CMEE=2` (TS 27.007 section 9.2).
fn cme_text(number: u16) -> &'static str {
    match number {
        cme::NOT_ALLOWED => "operation not allowed",
        cme::SIM_PIN => "SIM PIN required",
        cme::SIM_PUK => "SIM PUK required",
        cme::SIM_FAILURE => "SIM failure",
        cme::SIM_BUSY => "SIM busy",
        cme::WRONG_PASSWORD => "incorrect password",
        cme::NO_SERVICE => "no network service",
        10 => "SIM not inserted",
        107 => "GPRS services not allowed",
        cme::INVALID => "invalid parameters",
        _ => "unknown",
    }
}
