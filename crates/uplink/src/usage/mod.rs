//! Accounts for the line that costs by the byte: how much was used, of how much, since when. `netguard`
//! reads the verdict and lets through or refuses.
//!
//! What is counted is what the interface carries, in both directions. A provider counts in its own
//! network and rounds every session up, so its figure is the higher one; `failberry usage set` takes it
//! over.

mod account;
mod date;
mod ledger;
mod meter;
mod report;
mod saver;
mod store;

use account::{Account, Books, Plan};
use netlink::{Connection, Farewells};
use saver::Saver;
use snapshot::Report;
use std::time::Duration;
use store::{Found, Store};
use sysio::{Monotonic, Root, clock};

/// Where the books are.
const FOLDER: &str = "/data/failberry/uplink";
/// The request that corrects the period in force; its content is an amount of data.
const CORRECT: &str = "usage-set";
/// What a card may take for the last save when the daemon is told to end; systemd waits longer.
const LAST_SAVE: Duration = Duration::from_secs(5);
/// Sums change with every look while bytes flow; said is what matters at once, and the rest so often.
const SAY: Duration = Duration::from_secs(5);

/// The accountant, with the kernel on one side and the card on the other.
#[derive(Debug)]
pub struct Usage {
    account: Account,
    kernel: Connection,
    farewells: Farewells,
    saver: Saver,
    /// Where a spoilt book went.
    trouble: Vec<String>,
    look_failed: Option<String>,
    interface: Option<String>,
    /// What was last said: when, and whether the guard was to cut.
    said: (Monotonic, bool),
    unsaid: bool,
}

/// Why there is no accountant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket to the kernel.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// No thread to save with.
    #[error("start a thread to save usage: {0}")]
    Thread(#[from] std::io::Error),
}

impl Usage {
    /// For the network namespace of this thread; none where the line costs nothing.
    ///
    /// # Errors
    /// If the kernel gives no socket or no thread.
    pub fn open(root: &Root, boot_id: &str, metered: &config::Metered) -> Result<Option<Self>, Error> {
        if !metered.metered {
            return Ok(None);
        }
        let (store, Found { state, trouble }) = Store::open::<Books>(&root.path(FOLDER));
        for trouble in &trouble {
            log::warn!("{trouble}");
        }
        let plan =
            Plan { quota: metered.quota.map(config::Bytes::count), billing_day: metered.billing_day.day() };
        Ok(Some(Self {
            account: Account::new(plan, state.unwrap_or_default(), boot_id),
            kernel: Connection::open()?,
            farewells: Farewells::open()?,
            saver: Saver::start(store)?,
            trouble,
            look_failed: None,
            interface: None,
            said: (Monotonic::default(), false),
            unsaid: true,
        }))
    }

    /// Looks at the counters if it is time to, or if `changed` says that links have; whether there is
    /// something new to say. `interface` is the metered line's, while it has one.
    pub fn tick(&mut self, now: Monotonic, interface: Option<&str>, changed: bool) -> bool {
        if self.interface.as_deref() != interface {
            self.interface = interface.map(str::to_owned);
        }
        if let Some(result) = self.saver.result() {
            self.account.saved(result);
            self.unsaid = true;
        }
        if changed || now >= self.account.next_look() {
            self.look(now);
        }
        if !self.saver.busy()
            && let Some(books) = self.account.hand_over(now)
        {
            match store::encode(books) {
                Ok(text) => self.saver.save(text),
                Err(error) => self.account.saved(Err(error)),
            }
        }
        let (at, cut) = self.said;
        let speak = self.unsaid && (now.since(at) >= SAY || cut != self.account.cut());
        if speak {
            self.said = (now, self.account.cut());
            self.unsaid = false;
        }
        speak
    }

    /// Whether the line is to be cut off.
    pub fn cut(&self) -> bool {
        self.account.cut()
    }

    fn look(&mut self, now: Monotonic) {
        // Farewells first: what is gone from them is gone from the list.
        let counters = self.farewells.take().and_then(|gone| Ok((gone, self.kernel.all_counters()?)));
        let (gone, there) = match counters {
            Ok(counters) => {
                self.look_failed = None;
                counters
            }
            Err(error) => {
                // Nothing is lost: counters go on, and the next look finds them.
                self.look_failed = Some(error.to_string());
                self.unsaid = true;
                (Vec::new(), Vec::new())
            }
        };
        self.unsaid |= self.account.look(now, clock::wall(), self.interface.as_deref(), &gone, &there);
    }

    /// When to tick without being called.
    pub fn deadline(&self) -> Monotonic {
        self.account.next_look()
    }

    /// Takes a request, if it is one of ours.
    pub fn request(&mut self, name: &str, content: &str) {
        if name != CORRECT {
            return;
        }
        let amount = content.trim();
        // The provider may well say that nothing was used.
        let bytes = if ["0", "0 B"].contains(&amount) {
            Ok(0)
        } else {
            config::Bytes::from_text(amount).map(config::Bytes::count)
        };
        match bytes {
            Ok(bytes) => {
                log::info!(
                    "usage of this period: {bytes} bytes instead of {}, as asked",
                    self.account.used()
                );
                self.account.correct(bytes);
                self.unsaid = true;
            }
            Err(error) => log::warn!("take {CORRECT}: {error}; the usage stays as it is"),
        }
    }

    /// The last look and save before the process ends.
    pub fn end(&mut self, now: Monotonic) {
        if let Some(result) = self.saver.wait(LAST_SAVE) {
            self.account.saved(result);
        }
        self.look(now);
        if let Some(Ok(text)) = self.account.hand_over_last(now).map(store::encode) {
            self.saver.save(text);
            if let Some(result) = self.saver.wait(LAST_SAVE) {
                self.account.saved(result);
            }
        }
        if let Some(error) = self.account.save_failure() {
            log::warn!("save the usage: {error}; what was used since the last save will be missing");
        }
    }

    /// Adds what is to be said about usage.
    pub fn report(&self, report: Report) -> Report {
        report::add(report, &self.account, &self.trouble, self.look_failed.as_deref())
    }
}
