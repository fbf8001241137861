//! Typed wrappers for the ioctls Failberry needs and nix has no safe call for.
//!
//! The only crate of the workspace in which unsafe code is allowed, so that every unsafe block
//! can be read in one sitting.

pub mod icmp;
pub mod multicast;
pub mod tun;
