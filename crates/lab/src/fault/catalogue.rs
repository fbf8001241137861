//! The catalogue: one row for each [`Kind`], with where its behaviour is known from. "Issue" names
//! a public thread `owner/repository#number`; "TS" is a 3GPP specification.

use super::{Cure, Kind, Room};

/// What is known of a kind of fault.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which one.
    pub kind: Kind,
    /// Its name in scenarios.
    pub name: &'static str,
    /// Where it lives.
    pub room: Room,
    /// What cures it, unless a scenario says otherwise.
    pub cure: Cure,
    /// How many of the curing events it takes, unless a scenario says otherwise.
    pub cycles: u32,
    /// Seconds it lasts or is away, unless a scenario says otherwise; 0 for none.
    pub seconds: u64,
    /// Its number, unless a scenario says otherwise.
    pub code: Option<u8>,
    /// Whether a call that is up notices; the others show when the next one is dialled.
    pub ends_call: bool,
    /// What it does.
    pub does: &'static str,
    /// Where that is known from.
    pub source: &'static str,
}

impl Kind {
    /// Its row.
    pub fn row(self) -> &'static Row {
        &CATALOGUE[self as usize]
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// When there is none, with where to look.
    pub fn named(name: &str) -> Result<Self, String> {
        let row = CATALOGUE.iter().find(|row| row.name == name);
        row.map(|row| row.kind).ok_or_else(|| format!("no fault {name}; `lab faults` lists them"))
    }
}

const fn row(kind: Kind, name: &'static str, room: Room, cure: Cure, ends_call: bool) -> Row {
    Row { kind, name, room, cure, cycles: 1, seconds: 0, code: None, ends_call, does: "", source: "" }
}

/// Every kind, in the order of [`Kind`].
pub const CATALOGUE: [Row; 34] = [
    Row {
        does: "no AT port answers; USB and a call that is up go on",
        source: "issues OLIMEX/NB-IoT#5, botletics/SIM7000-LTE-Shield#298: a reset brings the port back",
        ..row(Kind::NoAnswer, "no-answer", Room::Firmware, Cure::UsbReset, false)
    },
    Row {
        does: "the AT ports say unsolicited lines only",
        source: "issues openwrt/openwrt#25285, gammu/gammu#138: ^RSSI and ^BOOT lines where an answer should be",
        ..row(Kind::UrcsOnly, "urcs-only", Room::Firmware, Cure::UsbReset, false)
    },
    Row {
        does: "+ZUSIMR lines without end, until somebody asks +CPMS?",
        source: "ModemManager, plugins/zte/mm-plugin-zte.c: message-waiting lines fill the buffer until the \
                 stick crashes, which is why it probes with ATE0+CPMS?",
        ..row(Kind::UrcFlood, "urc-flood", Room::Firmware, Cure::Command, false)
    },
    Row {
        does: "ERROR to every command",
        source: "issue pycom/pycom-micropython-sigfox#225: ERROR again and again, only losing power helps",
        ..row(Kind::ErrorToAll, "error-to-all", Room::Firmware, Cure::Power, false)
    },
    Row {
        does: "+CME ERROR: 10 to everything that needs the card; registration is lost",
        source: "TS 27.007 section 9.2.1 (10: SIM not inserted)",
        ..row(Kind::SimMissing, "cme-10", Room::Card, Cure::Person, true)
    },
    Row {
        does: "the card lost contact for a moment and wants its PIN 1234: +CME ERROR: 11",
        source: "TS 27.007 section 9.2.1 (11): SIM PIN required",
        ..row(Kind::SimPin, "cme-11", Room::Card, Cure::Command, true)
    },
    Row {
        does: "the card wants its PUK: +CME ERROR: 12",
        source: "TS 27.007 section 9.2.1 (12); issue gammu/gammu#458: how it comes to that",
        ..row(Kind::SimPuk, "cme-12", Room::Card, Cure::Person, true)
    },
    Row {
        does: "+CME ERROR: 13 to everything that needs the card, until the card is reset with the radio",
        source: "issue Xinyuan-LilyGO/LilyGo-Modem-Series#463: SIM failure, AT+CFUN=4 brings the card back",
        ..row(Kind::SimFailure, "cme-13", Room::Card, Cure::Radio, true)
    },
    Row {
        does: "+CME ERROR: 14 to everything that needs the card, for a while",
        seconds: 15,
        source: "issue faucamp/python-gsmmodem#10: SIM busy for seconds; u-blox/ubxlib#287: at any command",
        ..row(Kind::SimBusy, "cme-14", Room::Card, Cure::Time, false)
    },
    Row {
        does: "no network service: registration is lost, +CME ERROR: 30 to attaching, for a while",
        seconds: 20,
        source: "TS 27.007 section 9.2.1 (30); issue openwrt/packages#12496: gone for minutes, and back",
        ..row(Kind::NoService, "cme-30", Room::Cell, Cure::Time, true)
    },
    Row {
        does: "+CME ERROR: 50 to +CGDCONT, until the radio was off",
        source: "TS 27.007 sections 9.2.1 (50) and 10.1.1: a context cannot be redefined in every state",
        ..row(Kind::BadParameters, "cme-50", Room::Firmware, Cure::Radio, false)
    },
    Row {
        does: "packet service denied: +CGREG 3, +CME ERROR: 107 to +CGATT=1, NO CARRIER to dialling",
        source: "TS 24.008 section 4.7.3.1.4, cause 7: not allowed until switched off; TS 27.007 section \
                 9.2.2.1 (107)",
        ..row(Kind::PsNotAllowed, "cme-107", Room::Cell, Cure::Radio, true)
    },
    Row {
        does: "the card wants its PIN 1234 and has `code` tries left",
        code: Some(2),
        source: "TS 102 221 section 11.1.9 (63Cx); issue openwrt/packages#25116: a retry loop burned them",
        ..row(Kind::PinTries, "pin-tries", Room::Card, Cure::Person, true)
    },
    Row {
        does: "the card wants its PIN 1234 and +CSIM is not known to the firmware",
        source: "TS 27.007 section 8.17: +CSIM is optional; ModemManager falls back to vendors' commands",
        ..row(Kind::PinTriesHidden, "pin-tries-hidden", Room::Card, Cure::Command, true)
    },
    Row {
        does: "the next calls end with NO CARRIER",
        cycles: 2,
        source: "V.250 section 6.3.1: dialling may end with it",
        ..row(Kind::NoCarrier, "no-carrier", Room::Carrier, Cure::Redial, false)
    },
    Row {
        does: "the next calls end with BUSY",
        cycles: 2,
        source: "V.250 section 5.7.1 (BUSY, 7)",
        ..row(Kind::Busy, "busy", Room::Carrier, Cure::Redial, false)
    },
    Row {
        does: "the next call is dialled and nothing is ever said",
        source: "issue openwrt/openwrt#10472: a modem tool waits for ever",
        ..row(Kind::DialSilence, "dial-silence", Room::Carrier, Cure::Redial, false)
    },
    Row {
        does: "the next call is connected to bytes that are not PPP",
        source: "issues ppp-project/ppp#82 (bytes lost or changed on the way), ppp-project/ppp#14",
        ..row(Kind::ConnectGarbage, "connect-garbage", Room::Carrier, Cure::Redial, false)
    },
    Row {
        does: "the next call is connected and nothing answers LCP",
        source: "issues zephyrproject-rtos/zephyr#40856, ppp-project/ppp#556: Configure-Requests unanswered",
        ..row(Kind::LcpSilence, "lcp-silence", Room::Carrier, Cure::Redial, false)
    },
    Row {
        does: "name and password are refused (CHAP Failure, PAP Authenticate-Nak)",
        source: "RFC 1994 section 4.2, RFC 1334 section 2.2.2; TS 24.008 section 6.1.3.1.3, cause 29",
        ..row(Kind::AuthRefused, "auth-refused", Room::Carrier, Cure::Person, false)
    },
    Row {
        does: "the call swallows everything, LCP echoes too, with carrier detect on",
        source: "issues ppp-project/ppp#5, ppp-project/ppp#491: dead line, echo requests unanswered",
        ..row(Kind::EchoDead, "echo-dead", Room::Carrier, Cure::Redial, true)
    },
    Row {
        does: "the next calls get Terminate-Requests until they end",
        cycles: 2,
        source: "issue ppp-project/ppp#83: the peer answers with TermReq, every time; RFC 1661 section 5.5",
        ..row(Kind::TerminateStorm, "terminate-storm", Room::Carrier, Cure::Redial, false)
    },
    Row {
        does: "LCP is answered, IP packets vanish",
        source: "issue openwrt/packages#14766: address present, no traffic",
        ..row(Kind::NoTraffic, "no-traffic", Room::Carrier, Cure::Reattach, true)
    },
    Row {
        does: "the carrier ends the call, and the first redials with NO CARRIER",
        cycles: 3,
        source: "issue openwrt/openwrt#20599: dead after the daily cut of 24 hours, no retry",
        ..row(Kind::DailyCut, "daily-cut", Room::Carrier, Cure::Redial, true)
    },
    Row {
        does: "registration is `code` (0, 2, 3 or 4) for a while",
        code: Some(2),
        seconds: 20,
        source: "TS 27.007 section 7.2; issues mrhaav/openwrt#5, openwrt/packages#12496: searching for long",
        ..row(Kind::RegistrationLost, "registration-lost", Room::Cell, Cure::Time, true)
    },
    Row {
        does: "registration is 5: abroad, or beside the border",
        source: "TS 27.007 section 7.2 (5)",
        ..row(Kind::Roaming, "roaming", Room::Cell, Cure::Person, true)
    },
    Row {
        does: "+CSQ: 99,99 while everything works",
        seconds: 30,
        source: "TS 27.007 section 8.5 (99: not known); issue OpenAtomFoundation/TobudOS#85",
        ..row(Kind::SignalUnknown, "signal-99", Room::Cell, Cure::Time, false)
    },
    Row {
        does: "drops off the bus and is back at once as 19d2:2003, so that ports held open get new numbers",
        source: "issues RaspbianFrance/raspisms#209, gammu/gammu#198; usb-modeswitch-data, 19d2:2000: 2003 is \
                 one of the targets",
        ..row(Kind::Renumbered, "renumbered", Room::Device, Cure::Command, true)
    },
    Row {
        does: "crashes and comes back as a CD-ROM",
        source: "issue gammu/gammu#687: after a reset of the firmware it is mass storage again",
        ..row(Kind::BackAsCdrom, "back-as-cdrom", Room::Device, Cure::Command, true)
    },
    Row {
        does: "is off the bus for `seconds`",
        seconds: 20,
        source: "issues Kodo-kakaku/luci-app-gpoint#27, sixfab/Sixfab_PPP_Installer#24: disconnects by itself",
        ..row(Kind::Vanish, "vanish", Room::Device, Cure::Time, true)
    },
    Row {
        does: "bulk endpoints answer STALL",
        source: "issue raspberrypi/linux#5211 (EPIPE, usb-serial has no recovery); USB 2.0 section 9.4.5: a \
                 halt ends with CLEAR_FEATURE or a reset; drivers/usb/serial/usb_wwan.c reads on",
        ..row(Kind::Stall, "stall", Room::Device, Cure::UsbReset, true)
    },
    Row {
        does: "every endpoint answers STALL, also after a reset",
        source: "issue bigtreetech/Manta-M5P#32: `device descriptor read/64, error -32` until power goes",
        ..row(Kind::StallAll, "stall-all", Room::Device, Cure::Power, true)
    },
    Row {
        does: "nothing on the bus is answered until a bus reset",
        source: "issue gammu/gammu#198: after USBDEVFS_RESET the stick answers again",
        ..row(Kind::SoftHang, "soft-hang", Room::Device, Cure::UsbReset, true)
    },
    Row {
        does: "nothing on the bus is answered until the power goes, or goes `cycles` times",
        source: "issues openwrt/packages#19794 (reset useless, power cycle needed), \
                 fildunsky/luci-app-5gmodem#25 (error -110 through many power cycles)",
        ..row(Kind::Hang, "hang", Room::Device, Cure::Power, true)
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_kinds_and_say_where_from() {
        for (at, row) in CATALOGUE.iter().enumerate() {
            assert_eq!(row.kind as usize, at, "{}", row.name);
            assert_eq!(Kind::named(row.name), Ok(row.kind));
            assert!(!row.does.is_empty() && !row.source.is_empty(), "{}", row.name);
            assert!(row.cure != Cure::Time || row.seconds > 0, "{}", row.name);
        }
        assert_eq!(Kind::Hang as usize + 1, CATALOGUE.len());
    }
}
