//! Finds the stick, holds the AT dialogue, runs pppd, and does it again for ever.
//!
//! What to do is decided in [`machine`] (pure, from `modem-proto`); this crate carries it out:
//! [`ports`] touches the system, [`driver`] ties it to the loop, [`status`] says how it goes.

pub mod apn;
pub mod card;
pub mod config;
pub mod driver;
pub mod ip_up;
pub mod monitor;
pub mod pin_record;
pub mod ports;
pub mod quirks;
mod reach;
pub mod status;
pub mod wired;

pub use modem_proto::machine;

use daemonkit::Arguments;

/// Its name in unit, snapshot and requests.
pub const NAME: &str = "modem-dialer";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where pppd's options and addresses are exchanged; root's alone, because of the password.
pub const RUN_DIRECTORY: &str = "/run/failberry-ppp";

/// Why the daemon cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration slice.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The exchange folder.
    #[error("watch {path}: {source}; is it missing from tmpfiles.d?")]
    Watch {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The loop.
    #[error(transparent)]
    Loop(#[from] daemonkit::Error<std::convert::Infallible>),
}

/// Runs until told to stop.
///
/// # Errors
/// See [`Error`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let config = config::load(&arguments.config)?;
    let quirks = quirks::load(&arguments.root);
    for problem in &quirks.problems {
        log::warn!("{problem}");
    }
    let problems = quirks.problems.iter().map(ToString::to_string).collect();
    let mut driver = driver::Driver::new(arguments.root.clone(), config, quirks.models)?;
    driver.complain_of_quirks(problems);
    Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut driver)?)
}
