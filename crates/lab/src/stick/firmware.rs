//! The modem's firmware after the mode switch: ports, dialogue, registration, the call. Pure:
//! events and time go in, [`FwAction`]s come out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Timing;
use super::at::{Gatherer, Line};
use super::fault::{self, Cell};
use super::sim::{Lock, Sim};
use crate::fault::{Event, Faults, Kind};

/// The AT ports, as USB interface numbers: secondary and primary (`ModemManager`'s
/// `77-mm-zte-port-types.rules`). Interfaces 0 and 2 are for diagnosis and do not speak AT.
pub(crate) const AT_PORTS: [u8; 2] = [1, 3];

/// Guard time of the escape sequence (V.250 annex, S12 = 50 fiftieths of a second).
const ESCAPE_GUARD: Duration = Duration::from_secs(1);

/// Unsolicited lines of ZTE sticks (`ModemManager`'s ZTE plugin swallows the same ones).
const NOISE: [&str; 4] =
    ["+ZUSIMR:2", "+ZDONR: \"FAILBERRY\",001,01,\"CS_PS\",\"ROAM_OFF\"", "+ZPASR: \"HSDPA\"", "^RSSI:20"];

/// What survives a loss of power.
#[derive(Debug)]
pub(crate) struct Persistent {
    /// The card.
    pub(crate) sim: Sim,
    /// Whether `AT+ZCDRUN=8` has switched the CD-ROM off.
    pub(crate) cdrom_off: bool,
    /// What is wrong with it.
    pub(crate) faults: Faults,
}

/// What reaches the firmware.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FwEvent<'a> {
    /// Bytes from the host on a port.
    Bytes(u8, &'a [u8]),
    /// The host moved DTR.
    Dtr(u8, bool),
    /// The network took the call.
    Connected,
    /// The network refused or ended it.
    Ended,
    /// The network is busy.
    Busy,
    /// Time has passed.
    Tick,
}

/// What the firmware wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FwAction {
    /// Text for the host.
    Say(u8, Vec<u8>),
    /// Carrier detect of a port.
    Dcd(u8, bool),
    /// Activate a PDP context; true asks for IPv6 too.
    Dial(bool),
    /// Deactivate it.
    HangUp,
    /// Bytes of the call, for the network.
    Data(Vec<u8>),
    /// Start again from nothing (`+CFUN=1,1`).
    Restart,
    /// Something that may heal a fault.
    Happened(Event),
}

/// Where the call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Idle,
    Dialling {
        port: u8,
    },
    Online {
        port: u8,
    },
    /// Escaped with `+++`: the call is held, the port takes commands.
    Held {
        port: u8,
    },
}

/// A serial port's settings.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct AtPort {
    pub(crate) number: u8,
    pub(crate) echo: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    /// `&C`: whether DCD follows the carrier.
    pub(crate) follow_carrier: bool,
    /// `&D`: whether losing DTR ends the call.
    pub(crate) follow_dtr: bool,
    /// `+CREG` and `+CGREG`: whether changes are reported.
    pub(crate) report: [u8; 2],
    dtr: bool,
    gatherer: Gatherer,
}

impl AtPort {
    fn new(number: u8) -> Self {
        let mut port = Self {
            number,
            echo: true,
            verbose: true,
            quiet: false,
            follow_carrier: true,
            follow_dtr: true,
            report: [0; 2],
            dtr: false,
            gatherer: Gatherer::default(),
        };
        port.defaults();
        port
    }

    /// `Z` and `&F`.
    pub(crate) fn defaults(&mut self) {
        (self.echo, self.verbose, self.quiet) = (true, true, false);
        (self.follow_carrier, self.follow_dtr, self.report) = (true, true, [0; 2]);
    }
}

/// A PDP context's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) kind: String,
    pub(crate) apn: String,
}

/// The firmware's memory.
#[derive(Debug)]
pub(crate) struct Firmware {
    pub(crate) timing: Timing,
    pub(crate) booted: Duration,
    pub(crate) ports: [AtPort; 2],
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) call: Call,
    /// `+CFUN`: 1 is full functionality.
    pub(crate) functionality: u32,
    /// `+CMEE`, of the whole stick.
    pub(crate) verbose_errors: u32,
    /// `+COPS=3,<format>`.
    pub(crate) operator_format: u32,
    /// `+CGATT=0` was given.
    pub(crate) detached: bool,
    /// What `+CEER` says.
    pub(crate) cause: &'static str,
    pub(crate) registered: bool,
    /// What the radio network is like.
    pub(crate) cell: Cell,
    flood_at: Option<Duration>,
    /// Whether a tick has come since the SIM became ready.
    sim_seen: bool,
    register_at: Option<Duration>,
    noise_at: Duration,
    noise: usize,
    last_data: Duration,
    escape_at: Option<Duration>,
    pub(crate) actions: Vec<FwAction>,
}

impl Firmware {
    /// Firmware that has just been started.
    pub(crate) fn new(now: Duration, timing: Timing) -> Self {
        let context = Context { kind: "IP".into(), apn: String::new() };
        Self {
            timing,
            booted: now,
            ports: AT_PORTS.map(AtPort::new),
            contexts: BTreeMap::from([(1, context)]),
            call: Call::Idle,
            functionality: 1,
            verbose_errors: 0,
            operator_format: 0,
            detached: false,
            cause: "No cause information available",
            registered: false,
            cell: Cell::default(),
            flood_at: None,
            sim_seen: false,
            register_at: None,
            noise_at: now + timing.noise,
            noise: 0,
            last_data: now,
            escape_at: None,
            actions: Vec::new(),
        }
    }

    /// Takes one event.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        event: FwEvent<'_>,
        persistent: &mut Persistent,
    ) -> Vec<FwAction> {
        let cell = Cell::with(&persistent.faults);
        if std::mem::replace(&mut self.cell, cell) != cell && self.registered {
            self.report_registration();
        }
        match event {
            FwEvent::Bytes(port, bytes) => self.bytes(now, port, bytes, persistent),
            FwEvent::Dtr(port, dtr) => self.dtr(port, dtr),
            FwEvent::Connected => self.connected(now),
            FwEvent::Ended => self.ended("PDP context deactivated by the network", "NO CARRIER"),
            FwEvent::Busy => self.ended("Insufficient resources", "BUSY"),
            FwEvent::Tick => {}
        }
        self.timers(now, persistent);
        if persistent.faults.has(Kind::NoAnswer) {
            self.actions.retain(|action| !matches!(action, FwAction::Say(..)));
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`FwEvent::Tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Duration {
        let sim = (!self.sim_seen).then_some(self.booted + self.timing.sim_ready);
        [self.register_at, self.escape_at, self.flood_at, sim]
            .into_iter()
            .flatten()
            .fold(self.noise_at, Duration::min)
    }

    /// Whether the SIM answers yet.
    pub(crate) fn sim_ready(&self, now: Duration) -> bool {
        now >= self.booted + self.timing.sim_ready
    }

    /// Registration as `+CREG` and `+CGREG` report it (3GPP TS 27.007 sections 7.2 and 10.1.20).
    pub(crate) fn registration(&self, packet: bool) -> u8 {
        const IDLE: u8 = 0;
        const HOME: u8 = 1;
        const SEARCHING: u8 = 2;
        match (self.registered, self.functionality) {
            (true, _) if packet && self.detached => IDLE,
            (true, _) if packet && self.cell.packet_status.is_some() => {
                self.cell.packet_status.unwrap_or(HOME)
            }
            (true, _) => self.cell.status.unwrap_or(HOME),
            (false, 1) => self.cell.status.unwrap_or(SEARCHING),
            (false, _) => IDLE,
        }
    }

    /// Ends the call from the host's side.
    pub(crate) fn hang_up(&mut self) {
        if self.call != Call::Idle {
            self.actions.push(FwAction::HangUp);
            self.lower_dcd();
            self.call = Call::Idle;
        }
    }

    /// Loses the network: `+CFUN=0`, `+CGATT=0`.
    pub(crate) fn deregister(&mut self) {
        self.registered = false;
        self.register_at = None;
        self.lose_packet_service();
    }

    /// Without packet service there is no call; registration may stay.
    fn lose_packet_service(&mut self) {
        if self.call != Call::Idle {
            self.actions.push(FwAction::HangUp);
            self.ended("Service option not available", "NO CARRIER");
        }
    }

    pub(crate) fn dial(&mut self, port: u8, ipv6: bool) {
        self.call = Call::Dialling { port };
        self.actions.push(FwAction::Dial(ipv6));
    }

    pub(crate) fn resume(&mut self, port: u8) -> bool {
        let held = self.call == Call::Held { port };
        if held {
            self.call = Call::Online { port };
        }
        held
    }

    pub(crate) fn port_mut(&mut self, number: u8) -> Option<&mut AtPort> {
        self.ports.iter_mut().find(|port| port.number == number)
    }

    /// A line of information or a final result, framed as V.250 section 5.7.1 has it.
    pub(crate) fn say(&mut self, port: u8, text: &str) {
        self.actions.push(FwAction::Say(port, format!("\r\n{text}\r\n").into_bytes()));
    }

    /// A final result code, verbose or numeric (V.250 table 1), unless results are switched off.
    pub(crate) fn result(&mut self, number: u8, text: &str) {
        let Some(port) = self.port_mut(number) else { return };
        let (quiet, verbose) = (port.quiet, port.verbose);
        let code = match text.split(' ').next() {
            Some("OK") => "0",
            Some("CONNECT") => "1",
            Some("NO") => "3",
            Some("ERROR") => "4",
            Some("BUSY") => "7",
            _ => "",
        };
        match (quiet, verbose || code.is_empty()) {
            (true, _) => {}
            (_, true) => self.say(number, text),
            (_, false) => self.actions.push(FwAction::Say(number, format!("{code}\r").into_bytes())),
        }
    }

    fn bytes(&mut self, now: Duration, port: u8, bytes: &[u8], persistent: &mut Persistent) {
        if self.port_mut(port).is_none() {
            return;
        }
        let mut bytes = bytes;
        while let Some((first, rest)) = bytes.split_first() {
            match self.call {
                Call::Online { port: online } if online == port => {
                    self.data(now, bytes);
                    return;
                }
                // Any character aborts dialling (V.250 section 5.6.1), but not a stray line feed.
                Call::Dialling { port: dialling } if dialling == port && *first != b'\n' => {
                    self.hang_up();
                    self.result(port, "NO CARRIER");
                }
                _ if fault::is_deaf(&persistent.faults) => return,
                _ => self.character(now, port, *first, persistent),
            }
            bytes = rest;
        }
    }

    fn character(&mut self, now: Duration, number: u8, byte: u8, persistent: &mut Persistent) {
        let Some(port) = self.port_mut(number) else { return };
        let echo = port.echo;
        let line = port.gatherer.push(byte);
        if echo {
            self.echo(number, byte);
        }
        match line {
            Some(Line::Commands(commands)) => self.run(now, number, &commands, persistent),
            Some(Line::Garbled) => self.result(number, "ERROR"),
            None => {}
        }
    }

    /// Echoes of one transfer go together, as firmware that polls its buffer sends them.
    fn echo(&mut self, number: u8, byte: u8) {
        match self.actions.last_mut() {
            Some(FwAction::Say(port, text)) if *port == number && !text.starts_with(b"\r\n") => {
                text.push(byte);
            }
            _ => self.actions.push(FwAction::Say(number, vec![byte])),
        }
    }

    fn data(&mut self, now: Duration, bytes: &[u8]) {
        let alone = now.saturating_sub(self.last_data) >= ESCAPE_GUARD;
        self.escape_at = (bytes == b"+++" && alone).then_some(now + ESCAPE_GUARD);
        self.last_data = now;
        self.actions.push(FwAction::Data(bytes.to_vec()));
    }

    fn dtr(&mut self, number: u8, dtr: bool) {
        let Some(port) = self.port_mut(number) else { return };
        let dropped = std::mem::replace(&mut port.dtr, dtr) && !dtr && port.follow_dtr;
        let here = matches!(self.call, Call::Dialling { port } | Call::Online { port } | Call::Held { port }
            if port == number);
        if dropped && here {
            self.hang_up();
            self.result(number, "NO CARRIER");
        }
    }

    fn connected(&mut self, now: Duration) {
        let Call::Dialling { port } = self.call else { return };
        self.call = Call::Online { port };
        self.last_data = now;
        self.escape_at = None;
        self.actions.push(FwAction::Dcd(port, true));
        // 7.2 Mbit/s: the MF180's HSDPA category 8.
        self.result(port, "CONNECT 7200000");
    }

    fn ended(&mut self, cause: &'static str, result: &str) {
        let (Call::Dialling { port } | Call::Online { port } | Call::Held { port }) = self.call else {
            return;
        };
        self.cause = cause;
        self.lower_dcd();
        self.call = Call::Idle;
        self.result(port, result);
    }

    fn lower_dcd(&mut self) {
        let (Call::Online { port } | Call::Held { port }) = self.call else { return };
        if self.port_mut(port).is_some_and(|port| port.follow_carrier) {
            self.actions.push(FwAction::Dcd(port, false));
        }
    }

    fn timers(&mut self, now: Duration, persistent: &Persistent) {
        self.sim_seen |= self.sim_ready(now);
        let wanted = self.sim_seen
            && self.functionality == 1
            && persistent.sim.lock() == Lock::Open
            && !fault::is_without_card(&persistent.faults)
            && !self.cell.is_closed();
        if !wanted && (self.registered || self.register_at.is_some()) {
            self.deregister();
            self.report_registration();
        }
        if self.cell.packet_status.is_some() {
            self.lose_packet_service();
        }
        let can_register = wanted && !self.registered;
        match self.register_at {
            None if can_register => self.register_at = Some(now + self.timing.register),
            Some(at) if now >= at => {
                self.register_at = None;
                self.registered = true;
                self.report_registration();
            }
            _ => {}
        }
        if self.escape_at.is_some_and(|at| now >= at) {
            self.escape_at = None;
            if let Call::Online { port } = self.call {
                self.call = Call::Held { port };
                self.result(port, "OK");
            }
        }
        self.flood(now, &persistent.faults);
        if now >= self.noise_at {
            self.noise_at = now + self.timing.noise;
            let line = NOISE[self.noise % NOISE.len()];
            self.noise += 1;
            self.unsolicited(line);
        }
    }

    /// Message-waiting lines without end.
    fn flood(&mut self, now: Duration, faults: &Faults) {
        if !faults.has(Kind::UrcFlood) {
            self.flood_at = None;
        } else if self.flood_at.is_none_or(|at| now >= at) {
            self.flood_at = Some(now + fault::FLOOD_EVERY);
            self.unsolicited(fault::FLOOD);
        }
    }

    fn report_registration(&mut self) {
        for (service, name) in ["+CREG", "+CGREG"].into_iter().enumerate() {
            let status = self.registration(service == 1);
            for number in AT_PORTS {
                if self.port_mut(number).is_some_and(|port| port.report[service] > 0) {
                    self.unsolicited_on(number, &format!("{name}: {status}"));
                }
            }
        }
    }

    fn unsolicited(&mut self, line: &str) {
        for port in AT_PORTS {
            self.unsolicited_on(port, line);
        }
    }

    /// Not in the middle of a call's data.
    fn unsolicited_on(&mut self, number: u8, line: &str) {
        if !matches!(self.call, Call::Online { port } | Call::Dialling { port } if port == number) {
            self.say(number, line);
        }
    }
}

#[cfg(test)]
mod tests;
