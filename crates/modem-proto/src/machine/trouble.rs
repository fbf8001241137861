//! What stands between the user and the link, and how it reads in a log.

use std::fmt;

use crate::parse::Registration;

/// Why a PIN was not accepted or not even sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinRefusal {
    /// The SIM said it is wrong.
    Wrong,
    /// So few tries are left that a wrong one could be costly.
    FewTries(u8),
    /// It was sent before, and not accepted.
    SentBefore,
    /// The try could not be written down first.
    NotRecorded,
}

/// What stands between the user and the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No stick.
    Absent,
    /// It does not answer.
    NoAnswer(String),
    /// No usable SIM.
    NoSim(String),
    /// The SIM is there, and does not work (27.007 section 9.2: failure, wrong, or no reason given).
    SimFailed(String),
    /// The stick asks for an unlock code that is not the SIM's PIN.
    Locked(String),
    /// The SIM asks for a PIN and none is configured.
    PinRequired,
    /// The PIN does not help.
    PinRefused(PinRefusal),
    /// The SIM asks for its PUK.
    PukRequired,
    /// None of the sticks is the one the configuration names.
    OtherStick(String),
    /// No registration in time.
    NotRegistered(Option<Registration>),
    /// Only a foreign network is there, and they are not allowed.
    RoamingOff,
    /// The network refuses this SIM.
    RegistrationDenied,
    /// The provider refuses user and password.
    AuthRefused(String),
    /// The call could not be made or held.
    CallFailed(String),
}

impl Trouble {
    /// Whether a person has to act, and no rung of the ladder can.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::NoSim(_)
            | Self::Locked(_)
            | Self::PinRequired
            | Self::PinRefused(_)
            | Self::PukRequired
            | Self::OtherStick(_)
            | Self::RoamingOff
            | Self::AuthRefused(_) => true,
            Self::Absent
            | Self::NoAnswer(_)
            | Self::SimFailed(_)
            | Self::NotRegistered(_)
            | Self::RegistrationDenied
            | Self::CallFailed(_) => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no known USB id on the bus"),
            Self::NoAnswer(detail)
            | Self::NoSim(detail)
            | Self::SimFailed(detail)
            | Self::OtherStick(detail)
            | Self::AuthRefused(detail)
            | Self::CallFailed(detail) => f.write_str(detail),
            Self::Locked(what) => write!(f, "it wants {what}"),
            Self::PinRequired => f.write_str("no PIN is configured"),
            Self::PinRefused(refusal) => refusal.fmt(f),
            Self::PukRequired => f.write_str("too many wrong PINs were entered"),
            Self::NotRegistered(registration) => {
                write!(f, "registration: {}", registration.map_or("not said", Registration::word))
            }
            Self::RoamingOff => f.write_str("modem.roaming is false"),
            Self::RegistrationDenied => f.write_str("registration: denied"),
        }
    }
}

impl fmt::Display for PinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong => f.write_str("the SIM said it is wrong; it is not sent again"),
            Self::FewTries(tries) => write!(f, "only {tries} tries are left, so it is not sent"),
            Self::SentBefore => f.write_str("it was sent once and not accepted; it is not sent again"),
            Self::NotRecorded => f.write_str("the try could not be written to disk first, so it is not sent"),
        }
    }
}
