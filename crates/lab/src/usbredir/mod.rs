//! The USB network redirection protocol, as far as a device that lives in this process needs it.
//!
//! QEMU's `usb-redir` device is the "usb-guest" of the protocol; we are the "usb-host", the side
//! that has the device. Source: the protocol's own description (`usb-redirection-protocol.md` of
//! the usbredir project, version 0.7) and QEMU's `hw/usb/redirect.c` for what that peer does.
//! [`codec`] turns bytes into [`packet`]s and back, [`Port`] does the host controller's part of
//! the work.

pub mod codec;
pub mod packet;
mod port;

pub use port::{Plug, Port, Stalls, UsbEvent};
