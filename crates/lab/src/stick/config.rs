//! What a stick is told before it starts.

use std::path::PathBuf;
use std::time::Duration;

use crate::carrier::CarrierConfig;

/// One stick, its SIM and its carrier.
#[derive(Debug, Clone)]
pub struct StickConfig {
    /// Unix socket QEMU's `usb-redir` character device listens on.
    pub socket: PathBuf,
    /// The SIM card in it.
    pub sim: SimConfig,
    /// How long things take.
    pub timing: Timing,
    /// The network behind it.
    pub carrier: CarrierConfig,
}

impl StickConfig {
    /// A stick without a PIN at `socket`, with default timing and carrier.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            sim: SimConfig::default(),
            timing: Timing::default(),
            carrier: CarrierConfig::default(),
        }
    }
}

/// A SIM card as it leaves the shop.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// The PIN it asks for; `None` when the PIN is switched off.
    pub pin: Option<String>,
    /// The PUK that sets a new PIN.
    pub puk: String,
    /// Subscriber identity; the first five digits are the home network.
    pub imsi: String,
}

impl Default for SimConfig {
    /// Test network 001/01 (3GPP TS 36.508 section 4.4.2), no PIN.
    fn default() -> Self {
        Self { pin: None, puk: "12345678".into(), imsi: "001010123456789".into() }
    }
}

/// How long the stick takes. Real ones take longer: the defaults keep scenarios short and the
/// order of events true.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From power to the CD-ROM's appearance.
    pub power_up: Duration,
    /// From the switch command to the CD-ROM's disappearance.
    pub eject: Duration,
    /// From the CD-ROM's disappearance to the modem's appearance. Real sticks need seconds:
    /// usb-modeswitch-data grants the MF180's id up to 20 s (`CheckSuccess=20`).
    pub mode_switch: Duration,
    /// From the modem's appearance to a SIM that answers; until then `+CME ERROR: 14`.
    pub sim_ready: Duration,
    /// From an unlocked SIM to a registration.
    pub register: Duration,
    /// Between two pieces of unsolicited noise.
    pub noise: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            power_up: Duration::from_millis(500),
            eject: Duration::from_millis(100),
            mode_switch: Duration::from_millis(1500),
            sim_ready: Duration::from_millis(700),
            register: Duration::from_millis(1500),
            noise: Duration::from_secs(5),
        }
    }
}
