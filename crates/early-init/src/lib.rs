//! PID 1 of the initramfs: finds the card, mounts the slot under a writable overlay, brings the data
//! partition into order and hands over to systemd.
//!
//! It must never hang: whatever fails is printed, then the machine reboots ([`boot::run`]). Trouble with
//! the data partition alone does not stop a boot; it is repaired, made anew, or replaced by memory.

pub mod boot;
pub mod cmdline;
pub mod data;
pub mod disk;
pub mod linux;
pub mod mbr;
pub mod modules;
pub mod ports;

#[cfg(test)]
mod fake;
