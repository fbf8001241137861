//! The stick's port and the session on it: what the machine's actions mean there.

use std::thread;

use modem_proto::machine::{Apn, Event, Port, SessionEnd};
use sysio::{Monotonic, clock};

use super::Driver;
use crate::apn;
use crate::config::Credentials;
use crate::ports::opening::Opening;
use crate::ports::{bus, ppp};

impl Driver {
    /// In a thread, because it takes seconds; what comes of it, the bus shows.
    pub(super) fn switch_mode(&self, usb_path: String, id: String) {
        let (root, quirks) = (self.root.clone(), self.quirks.clone());
        let switch = move || {
            if let Err(error) = bus::switch_mode(&root, &quirks, &id) {
                log::warn!("switch {usb_path} {id}: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().name("mode-switch".to_owned()).spawn(switch) {
            log::warn!("switch a stick: no thread: {error}");
        }
    }

    pub(super) fn kill_session(&mut self) {
        self.card = None;
        if let Some(session) = self.session.take() {
            log::info!("pppd {} is killed: the stick does not hear its goodbye", session.pid());
            self.abandoned.extend(session.kill());
        }
    }

    /// Begins to open; a thread does it, because a dead stick keeps it waiting.
    pub(super) fn open(&mut self, port: Port) -> Result<(), String> {
        // A pppd that is still saying goodbye would talk into the dialogue.
        self.kill_session();
        self.close();
        self.second.give_up(clock::now(), &port);
        let path = self.root.path("/dev").join(&port.name);
        let opening =
            Opening::begin(path.clone()).map_err(|error| format!("open {}: {error}", path.display()))?;
        self.opening = Some((port, opening));
        Ok(())
    }

    pub(super) fn on_opened(&mut self, now: Monotonic) {
        let Some(result) = self.opening.as_ref().and_then(|(_, opening)| opening.take()) else { return };
        let Some((port, _)) = self.opening.take() else { return };
        let result = match result {
            Ok(serial) => {
                self.codec.reset();
                self.serial = Some((port, serial));
                Ok(())
            }
            Err(error) => Err(format!("open {}: {error}", port.name)),
        };
        self.step(now, Event::Opened(result));
    }

    pub(super) fn close(&mut self) {
        self.opening = None;
        self.serial = None;
        self.codec.reset();
    }

    pub(super) fn start_session(&mut self) -> Option<Event> {
        let Some((port, serial)) = &self.serial else {
            return Some(Event::SessionEnded(SessionEnd::NotStarted("the port is not open".to_owned())));
        };
        let started = serial.share().and_then(|fd| ppp::Session::start(&self.files, fd, &self.login()));
        match started {
            Ok(session) => {
                log::info!("pppd {} on {}", session.pid(), port.name);
                self.session = Some(session);
                None
            }
            Err(error) => Some(Event::SessionEnded(SessionEnd::NotStarted(error.to_string()))),
        }
    }

    /// The access point of a SIM.
    pub(super) fn look_up(&mut self, imsi: &str) -> Option<Apn> {
        self.provider = apn::lookup(&self.root, imsi)
            .inspect_err(|error| log::warn!("look up the access point of the SIM: {error}"))
            .ok()
            .flatten();
        let access = self.provider.as_ref()?;
        log::info!("access point {} of {}, by the SIM", access.apn.as_str(), access.provider);
        Apn::new(access.apn.as_str())
    }

    /// The configured login, or else the one the SIM's provider wants.
    pub(super) fn login(&self) -> Credentials {
        match self.provider.as_ref().filter(|_| self.settings.apn.is_none()) {
            Some(access) => self.credentials.or(access),
            None => self.credentials.clone(),
        }
    }
}
