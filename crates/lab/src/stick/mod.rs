//! The stick: a ZTE MF180 that exists only in this process.
//!
//! [`start`] runs it in a thread of its own, with the carrier behind it; it connects to the socket
//! of QEMU's `usb-redir` device, waits for one when there is none yet, and connects again when
//! QEMU was restarted. The [`StickHandle`] is the test's hand on it.
//!
//! | module | what |
//! |---|---|
//! | `runner` | the edge: one thread, `poll`, bytes in and out |
//! | `engine` | the whole stick, pure: power, faces, transfers, the network behind it |
//! | `cdrom`, `descriptors` | its first face, and what both faces say about themselves |
//! | `firmware`, `at`, `commands`, `sim` | its second face: ports, dialogue, card |
//! | `fault` | where the faults of [`crate::fault`] act in it |

mod at;
mod cdrom;
mod commands;
mod config;
mod descriptors;
mod engine;
mod fault;
mod firmware;
mod handle;
mod runner;
mod sim;

pub use config::{SimConfig, StickConfig, Timing};
pub use handle::{Personality, StickCommand, StickHandle, StickState};

/// Why a stick cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// The TUN device of its carrier cannot be made.
    #[error("make the carrier's TUN device `{name}`: {source}")]
    Tun {
        /// Name of the device.
        name: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A pipe or thread cannot be made.
    #[error("start the stick's thread: {0}")]
    Thread(std::io::Error),
}

/// Starts a stick and its carrier. The TUN device exists when this returns.
///
/// # Errors
/// When the TUN device or the thread cannot be made.
pub fn start(config: StickConfig) -> Result<StickHandle, StickError> {
    runner::start(config)
}

/// Runs a stick until the process ends: `lab stick`. QEMU may come and go.
///
/// # Errors
/// As [`start`].
pub fn run_standalone(config: StickConfig) -> Result<(), StickError> {
    runner::run_standalone(config)
}
