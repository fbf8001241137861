//! `failberry.toml` as types: the one place that knows every section and key.
//!
//! A user writes the file on a laptop, pulls the card, and walks to a box without screen or keyboard.
//! So a check names *all* problems at once, each with its line and what to write instead, and no value
//! that passed it can be wrong later: sections are types, and a daemon gets only the sections it reads.
//!
//! A new section or key is one entry in [`sections`].

mod check;
mod cross;
mod example;
mod problem;
mod schema;
pub mod sections;
mod slice;
mod values;

pub use check::{MAX_BYTES, parse};
pub use example::example;
pub use problem::{LoadError, Problem};
pub use schema::{Key, SectionInfo};
pub use sections::{
    Config, Dyndns, Metered, Metrics, Modem, Network, Nics, Notify, Prober, SECTIONS, System, Uplink,
};
pub use slice::{SLICE_DIR, daemons, load, load_slice, slice, slice_name};
pub use values::{
    Apn, Auth, BillingDay, Bytes, Cidr, Device, DialMode, DialNumber, DnsAccount, DnsLink, DynamicName,
    FailbackHold, Group, Host, HostPort, Hostname, IdleHangup, Imei, InterfaceName, Mac, MailAddress,
    MailSecurity, MailServer, MetricPrefix, MinSeverity, Mode, OpenPort, PageLine, PageTarget, PdpType, Peer,
    Pin, ProbeKind, ProbeTarget, Protocol, Secret, Text, UsbPath, Wait, WebUrl, Who,
};
