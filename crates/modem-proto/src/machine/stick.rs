//! What is on the USB bus, as the machine sees it.

/// A serial port of the stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `ttyUSB2`; changes at every plugging in.
    pub name: String,
    /// Its USB interface number, which does not.
    pub interface: u8,
}

/// A stick on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stick {
    /// Where it is plugged in, such as `1-1.2`.
    pub usb_path: String,
    /// `vendor:product` in hexadecimal.
    pub id: String,
    /// The model, from its quirk file.
    pub model: String,
    /// What it shows itself as.
    pub form: Form,
}

/// What a stick shows itself as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The CD-ROM with its drivers: it has to be switched.
    CdRom,
    /// A modem; its ports may still be appearing.
    Serial {
        /// Ports that may answer AT commands, the one for PPP first.
        ports: Vec<Port>,
    },
    /// A network card that dials by itself (`HiLink`, ECM, NCM, RNDIS).
    NetworkCard {
        /// The kernel's name for it (`usb0`, `wwan0`), once it is there.
        interface: Option<String>,
        /// Ports that may answer AT commands beside it.
        ports: Vec<Port>,
    },
}

impl Stick {
    /// Ports that may answer AT commands, the best first.
    pub fn ports(&self) -> &[Port] {
        match &self.form {
            Form::CdRom => &[],
            Form::Serial { ports } | Form::NetworkCard { ports, .. } => ports,
        }
    }

    /// Whether what it takes to dial has appeared.
    pub(super) fn is_ready(&self) -> bool {
        match &self.form {
            Form::CdRom => false,
            Form::Serial { ports } => !ports.is_empty(),
            Form::NetworkCard { interface, .. } => interface.is_some(),
        }
    }

    /// Whether it is the same stick in the same form, whatever became of its ports.
    pub fn is_same(&self, other: &Self) -> bool {
        self.usb_path == other.usb_path
            && self.id == other.id
            && std::mem::discriminant(&self.form) == std::mem::discriminant(&other.form)
    }
}

/// What is on the bus: every stick a quirk file knows, and those that look like one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bus {
    /// In the order of their USB paths.
    pub sticks: Vec<Stick>,
}
