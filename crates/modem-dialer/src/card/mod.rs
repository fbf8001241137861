//! Sticks that are a network card (`HiLink`, ECM, NCM, RNDIS): they dial by themselves, and what is
//! left to do is to take an address, and to see whether their own router still answers.
//!
//! systemd-networkd is the DHCP client. The card gets a name of the `wwan…` kind, which `netguard`
//! treats as a line to the internet and never as the LAN, and a `.network` file in `/run` of which a
//! path unit tells networkd; routes and name servers stay with `uplink`.

mod lease;
mod machine;
mod overlap;
mod system;

use std::time::Duration;

use modem_proto::machine::{Link, SessionEnd};
use sysio::{Monotonic, Root};

use machine::{Machine, Outcome};
use system::System;

/// A lease arrives within a second; looking costs three small files.
const LOOK_WHILE_STARTING: Duration = Duration::from_millis(500);
/// Between two looks at a card that works.
const LOOK_WHILE_UP: Duration = Duration::from_secs(2);

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It has an address, or another one.
    Up(Link),
    /// It is of no use any more; the session is over.
    Ended(SessionEnd),
}

/// The end of a session that was asked for.
pub fn ended_on_request() -> SessionEnd {
    SessionEnd::Card { why: "the session was ended on request".to_owned(), silent: false }
}

/// A card in use.
#[derive(Debug)]
pub struct Session {
    system: System,
    machine: Machine,
    look_at: Monotonic,
    overlap: Option<String>,
}

impl Session {
    /// Gives the card its name and asks for an address.
    ///
    /// # Errors
    /// What the system refused, in words.
    pub fn start(root: &Root, now: Monotonic, interface: &str) -> Result<Self, String> {
        let system = System::take(root, interface)?;
        log::info!("{interface}: the stick's network card is {} from here on", system.interface());
        Ok(Self { system, machine: Machine::new(now), look_at: now + LOOK_WHILE_STARTING, overlap: None })
    }

    /// The card's name.
    pub fn interface(&self) -> &str {
        self.system.interface()
    }

    /// Which other interface has addresses of the stick's network, in words.
    pub fn overlap(&self) -> Option<&str> {
        self.overlap.as_deref()
    }

    /// When to call [`Session::look`].
    pub fn deadline(&self) -> Monotonic {
        self.look_at
    }

    /// Looks how it is.
    pub fn look(&mut self, now: Monotonic) -> Option<News> {
        if now < self.look_at {
            return None;
        }
        let outcome = self.machine.step(now, self.system.observe());
        self.look_at = now + if self.machine.is_up() { LOOK_WHILE_UP } else { LOOK_WHILE_STARTING };
        let overlap = overlap::look(self.interface());
        if let Some(words) = overlap.as_ref().filter(|words| self.overlap.as_ref() != Some(words)) {
            log::warn!("{words}: what is meant for one of them may go to the other");
        }
        self.overlap = overlap;
        match outcome? {
            Outcome::Up(link) => Some(News::Up(link)),
            Outcome::Replug => {
                log::warn!("{}: its router does not answer: plugging it in anew", self.interface());
                self.system.replug();
                None
            }
            Outcome::Lost(why) => Some(News::Ended(SessionEnd::Card { why, silent: false })),
            Outcome::Silent(why) => Some(News::Ended(SessionEnd::Card { why, silent: true })),
        }
    }
}

impl Drop for Session {
    /// Takes the card out of use: without a lease it carries nothing.
    fn drop(&mut self) {
        self.system.release();
    }
}
