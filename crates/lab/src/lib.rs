//! The lab: emulated machines, stick, carrier, house and internet around the real image.

pub mod carrier;
pub mod stick;
pub mod usbredir;
