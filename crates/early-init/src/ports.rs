//! What early-init does to the machine, as a trait, so that tests can make every step fail.

use std::io;
use std::time::Duration;

/// One mount(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Device, or the file system's name where it has none.
    pub source: &'a str,
    /// Folder.
    pub target: &'a str,
    /// Type, as in /proc/filesystems.
    pub kind: &'a str,
    /// Whether and how it may be written.
    pub access: Access,
    /// Options of the file system.
    pub options: &'a str,
}

/// Mount flags, as far as we differ in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writable.
    Write,
    /// Read-only.
    ReadOnly,
    /// Writable, for files that are neither devices nor set-user-id programs; no access times, which
    /// would wear the card.
    Files,
}

/// The machine as early-init sees it.
pub trait Machine {
    /// Mounts.
    ///
    /// # Errors
    /// mount(2)'s.
    fn mount(&mut self, mount: &Mount<'_>) -> io::Result<()>;
    /// Makes a folder and its parents; an existing one is fine.
    ///
    /// # Errors
    /// mkdir(2)'s.
    fn make_folder(&mut self, path: &str, mode: u32) -> io::Result<()>;
    /// A whole text file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self, path: &str) -> io::Result<String>;
    /// Writes a text file.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, path: &str, text: &str) -> io::Result<()>;
    /// Names in a folder, sorted.
    ///
    /// # Errors
    /// It cannot be listed.
    fn list(&mut self, path: &str) -> io::Result<Vec<String>>;
    /// Fills a buffer from a device.
    ///
    /// # Errors
    /// It cannot be read that far.
    fn read_device(&mut self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes to a device, down to the medium.
    ///
    /// # Errors
    /// It cannot be written.
    fn write_device(&mut self, device: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Loads a kernel module; a loaded one is fine.
    ///
    /// # Errors
    /// The kernel's.
    fn load_module(&mut self, path: &str) -> io::Result<()>;
    /// Runs a program of another root, killed at the deadline; its exit status.
    ///
    /// # Errors
    /// It cannot be started, was killed, or ran out of time.
    fn run_in(&mut self, root: &str, program: &[&str], limit: Duration) -> io::Result<i32>;
    /// A line on the console.
    fn say(&mut self, line: &str);
    /// Time since the kernel started.
    fn uptime(&mut self) -> Duration;
    /// Waits.
    fn pause(&mut self, time: Duration);
    /// Makes `root` the root folder and becomes `program`; returns only when that fails.
    fn enter(&mut self, root: &str, program: &str) -> io::Error;
    /// Reboots; returns only when that fails.
    fn reboot(&mut self);
}
