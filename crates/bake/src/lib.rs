//! Bakes Failberry's image: layers and a machine in, a flashable card out.
//!
//! Yocto's ideas on Debian's signed binaries: packages are unpacked, never configured, so no foreign
//! code runs; what their scripts would have done is done from outside by systemd's offline tools.

pub mod apn;
pub mod base;
pub mod bmap;
pub mod card;
pub mod cli;
pub mod copyright;
pub mod debian;
pub mod deploy;
pub mod elf;
pub mod error;
pub mod files;
pub mod hash;
pub mod initramfs;
pub mod kernel;
pub mod layer;
pub mod manifest;
pub mod overlay;
pub mod pipeline;
pub mod programs;
pub mod resolve;
pub mod run;
pub mod slot;
pub mod stage;
pub mod uboot;

/// The version of image and daemons.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
