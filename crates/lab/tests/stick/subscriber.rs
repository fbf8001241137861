//! The subscriber's side: types AT commands and speaks PPP over the primary port.

use std::time::{Duration, Instant};

use lab::carrier::ppp::hdlc::{Deframer, Framing};
use lab::carrier::ppp::option::{Opt, Packet, code};
use lab::carrier::ppp::protocol::{IPCP, IPV4, LCP};

use super::guest::{Guest, PATIENCE};

/// Primary port: interface 3 has bulk endpoints 0x84 and 0x04.
pub(crate) const IN: u8 = 0x84;
pub(crate) const OUT: u8 = 0x04;

/// Types a command and reads until `end` is there.
pub(crate) fn at(guest: &mut Guest, command: &str, end: &str) -> String {
    ask(guest, command, &[end])
}

/// Repeats a question until its answer has `wanted`; errors are answers too.
pub(crate) fn at_until(guest: &mut Guest, command: &str, wanted: &str) {
    let end = Instant::now() + PATIENCE;
    while !ask(guest, command, &["\r\nOK\r\n", "ERROR"]).contains(wanted) {
        assert!(Instant::now() < end, "{command} never answered {wanted}");
    }
}

fn ask(guest: &mut Guest, command: &str, ends: &[&str]) -> String {
    guest.bulk_out(OUT, format!("{command}\r").as_bytes());
    let deadline = Instant::now() + PATIENCE;
    let mut text = String::new();
    while !ends.iter().any(|end| text.contains(end)) {
        let left = deadline.saturating_duration_since(Instant::now());
        let part = guest.bulk_in(IN, left.max(Duration::from_millis(1)));
        let part = part.unwrap_or_else(|| panic!("{command}: none of {ends:?} in {text:?}"));
        text.push_str(&String::from_utf8_lossy(&part));
    }
    text
}

/// What a session of PPP came to.
pub(crate) struct Ppp {
    deframer: Deframer,
    pub(crate) address: [u8; 4],
    pub(crate) dns: [u8; 4],
    open: bool,
}

impl Ppp {
    /// Negotiates LCP without authentication (as pppd does without a secret) and IPCP, asking for
    /// an address and a DNS server.
    pub(crate) fn negotiate(guest: &mut Guest) -> Self {
        let mut this = Self { deframer: Deframer::default(), address: [0; 4], dns: [0; 4], open: false };
        send(guest, LCP, &Packet::new(code::CONFIGURE_REQUEST, 1, vec![]).bytes());
        let end = Instant::now() + PATIENCE;
        while !this.open {
            assert!(Instant::now() < end, "PPP does not open");
            for (protocol, information) in this.frames(guest) {
                let packet = Packet::parse(&information).unwrap();
                this.packet(guest, protocol, &packet);
            }
        }
        this
    }

    /// Sends an IP packet and waits for one that comes back.
    pub(crate) fn exchange(&mut self, guest: &mut Guest, packet: &[u8]) -> Vec<u8> {
        send(guest, IPV4, packet);
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "no packet comes back");
            if let Some((_, packet)) = self.frames(guest).into_iter().find(|(protocol, _)| *protocol == IPV4)
            {
                return packet;
            }
        }
    }

    fn frames(&mut self, guest: &mut Guest) -> Vec<(u16, Vec<u8>)> {
        let bytes = guest.bulk_in(IN, PATIENCE).expect("the network says something");
        self.deframer.push(&bytes)
    }

    fn packet(&mut self, guest: &mut Guest, protocol: u16, packet: &Packet) {
        let options = Opt::parse_all(&packet.data).unwrap_or_default();
        match (protocol, packet.code) {
            (LCP, code::CONFIGURE_REQUEST) => {
                let auth: Vec<Opt> = options.into_iter().filter(|option| option.kind == 3).collect();
                let (code, data) = if auth.is_empty() {
                    (code::CONFIGURE_ACK, packet.data.clone())
                } else {
                    (code::CONFIGURE_REJECT, Opt::write_all(&auth))
                };
                send(guest, LCP, &Packet::new(code, packet.id, data).bytes());
            }
            (IPCP, code::CONFIGURE_REQUEST) => {
                let ack = Packet::new(code::CONFIGURE_ACK, packet.id, packet.data.clone());
                send(guest, IPCP, &ack.bytes());
                self.ask(guest);
            }
            (IPCP, code::CONFIGURE_NAK) => {
                for option in options {
                    let value = option.value.try_into().unwrap();
                    if option.kind == 3 { self.address = value } else { self.dns = value }
                }
                self.ask(guest);
            }
            (IPCP, code::CONFIGURE_ACK) => self.open = true,
            _ => {}
        }
    }

    fn ask(&self, guest: &mut Guest) {
        let options = [Opt::new(3, self.address), Opt::new(129, self.dns)];
        send(guest, IPCP, &Packet::new(code::CONFIGURE_REQUEST, 7, Opt::write_all(&options)).bytes());
    }
}

/// Asks the peer whether it lives (RFC 1661 section 5.8).
pub(crate) fn echo_lcp(guest: &mut Guest) {
    send(guest, LCP, &Packet::new(code::ECHO_REQUEST, 1, vec![0; 4]).bytes());
}

/// Terminate-Requests in the next transfer.
pub(crate) fn terminate_requests(guest: &mut Guest) -> usize {
    let bytes = guest.bulk_in(IN, PATIENCE).expect("the network says something");
    let frames = Deframer::default().push(&bytes);
    let terminate = |information: &Vec<u8>| {
        Packet::parse(information).is_some_and(|packet| packet.code == code::TERMINATE_REQUEST)
    };
    frames.iter().filter(|(protocol, information)| *protocol == LCP && terminate(information)).count()
}

/// Opens LCP without agreeing to authenticate: who must be known is not let in.
pub(crate) fn offer_pap(guest: &mut Guest) {
    send(guest, LCP, &Packet::new(code::CONFIGURE_REQUEST, 1, vec![]).bytes());
    let mut ppp = Ppp { deframer: Deframer::default(), address: [0; 4], dns: [0; 4], open: false };
    let mut requests = 0;
    // CHAP, then PAP: each is refused once.
    while requests < 3 {
        let Some(bytes) = guest.bulk_in(IN, Duration::from_secs(1)) else { return };
        for (protocol, information) in ppp.deframer.push(&bytes) {
            let packet = Packet::parse(&information).unwrap();
            requests += usize::from(packet.code == code::CONFIGURE_REQUEST);
            ppp.packet(guest, protocol, &packet);
        }
    }
}

fn send(guest: &mut Guest, protocol: u16, information: &[u8]) {
    guest.bulk_out(OUT, &Framing::PLAIN.frame(protocol, information));
}

/// An ICMP echo request in an IPv4 packet (RFC 791, RFC 792).
pub(crate) fn echo_request(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    icmp.extend(b"through the stick");
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let length = u8::try_from(20 + icmp.len()).unwrap();
    let mut packet = vec![0x45, 0, 0, length, 0, 1, 0, 0, 64, 1, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(icmp);
    packet
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from(!(folded + (folded >> 16)) & 0xffff).unwrap().to_be_bytes()
}
