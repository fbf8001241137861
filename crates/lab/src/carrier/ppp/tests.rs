//! A subscriber against the session: what pppd does, without pppd.

use super::super::{Auth, AuthMethod, Credentials, Ipv6Subscriber};
use super::*;
use option::Opt;

const START: Duration = Duration::ZERO;
const SEED: Seed = Seed { magic: 0x1234_5678, challenge: [3; 16] };

/// Parses lines back into frames and answers nothing by itself.
struct Peer {
    session: Session,
    deframer: Deframer,
}

impl Peer {
    fn new(config: CarrierConfig) -> Self {
        Self { session: Session::start(START, config, SEED), deframer: Deframer::default() }
    }

    fn say(&mut self, number: u16, packet: &Packet) -> Vec<(u16, Packet)> {
        let actions = self.session.line(START, &Framing::PLAIN.frame(number, &packet.bytes()));
        self.heard(&actions)
    }

    fn heard(&mut self, actions: &[Action]) -> Vec<(u16, Packet)> {
        let lines = actions.iter().filter_map(|action| match action {
            Action::Line(bytes) => Some(bytes),
            _ => None,
        });
        lines
            .flat_map(|line| self.deframer.push(line))
            .filter(|(number, _)| ![protocol::IPV4, protocol::IPV6].contains(number))
            .map(|(number, information)| (number, Packet::parse(&information).unwrap()))
            .collect()
    }

    /// Opens LCP, taking what the session asks for; gives the last words heard.
    fn open_lcp(&mut self) -> Vec<(u16, Packet)> {
        let heard = self.say(protocol::LCP, &Packet::new(code::CONFIGURE_REQUEST, 1, vec![]));
        let request = find(&heard, protocol::LCP, code::CONFIGURE_REQUEST);
        self.say(protocol::LCP, &Packet::new(code::CONFIGURE_ACK, request.id, request.data))
    }

    fn open_ipcp(&mut self, heard: &[(u16, Packet)]) {
        let request = find(heard, protocol::IPCP, code::CONFIGURE_REQUEST);
        self.say(protocol::IPCP, &Packet::new(code::CONFIGURE_ACK, request.id, request.data));
        let address = Opt::write_all(&[Opt::new(3, [198, 51, 100, 20])]);
        let heard = self.say(protocol::IPCP, &Packet::new(code::CONFIGURE_REQUEST, 1, address));
        find(&heard, protocol::IPCP, code::CONFIGURE_ACK);
        assert!(self.session.is_open());
    }
}

fn find(heard: &[(u16, Packet)], number: u16, code: u8) -> Packet {
    let found = heard.iter().find(|(n, packet)| *n == number && packet.code == code);
    found.unwrap_or_else(|| panic!("no packet {number:#06x} code {code} in {heard:?}")).1.clone()
}

fn without_auth() -> CarrierConfig {
    CarrierConfig { auth: Auth::default(), ..CarrierConfig::default() }
}

fn pap_only(required: bool) -> CarrierConfig {
    let credentials = Some(Credentials { user: "web".into(), password: "secret".into() });
    let auth = Auth { methods: vec![AuthMethod::Pap], credentials, required };
    CarrierConfig { auth, ..CarrierConfig::default() }
}

#[test]
fn gives_address_and_dns_by_nak() {
    let mut peer = Peer::new(without_auth());
    peer.open_lcp();
    let asked = [Opt::new(3, [0; 4]), Opt::new(129, [0; 4]), Opt::new(131, [0; 4])];
    let request = Packet::new(code::CONFIGURE_REQUEST, 1, Opt::write_all(&asked));
    let nak = find(&peer.say(protocol::IPCP, &request), protocol::IPCP, code::CONFIGURE_NAK);
    let expected =
        [Opt::new(3, [198, 51, 100, 20]), Opt::new(129, [192, 0, 2, 53]), Opt::new(131, [192, 0, 2, 54])];
    assert_eq!(Opt::parse_all(&nak.data).unwrap(), expected);
}

#[test]
fn van_jacobson_compression_is_rejected() {
    let mut peer = Peer::new(without_auth());
    peer.open_lcp();
    let asked = [Opt::new(2, [0, 0x2d, 15, 1]), Opt::new(3, [0; 4])];
    let request = Packet::new(code::CONFIGURE_REQUEST, 1, Opt::write_all(&asked));
    let reject = find(&peer.say(protocol::IPCP, &request), protocol::IPCP, code::CONFIGURE_REJECT);
    assert_eq!(Opt::parse_all(&reject.data).unwrap(), asked[..1]);
}

#[test]
fn unknown_protocols_are_rejected_by_number_and_ipv6cp_too_without_ipv6() {
    let mut peer = Peer::new(without_auth());
    peer.open_lcp();
    for number in [0x80fd_u16, protocol::IPV6CP] {
        let heard = peer.say(number, &Packet::new(code::CONFIGURE_REQUEST, 1, vec![]));
        let reject = find(&heard, protocol::LCP, code::PROTOCOL_REJECT);
        assert_eq!(reject.data[..2], number.to_be_bytes());
    }
}

#[test]
fn echo_requests_are_answered_with_our_magic_number() {
    let mut peer = Peer::new(without_auth());
    peer.open_lcp();
    let heard = peer.say(protocol::LCP, &Packet::new(code::ECHO_REQUEST, 5, vec![9; 8]));
    let reply = find(&heard, protocol::LCP, code::ECHO_REPLY);
    assert_eq!((reply.id, &reply.data[..4]), (5, &SEED.magic.to_be_bytes()[..]));
}

#[test]
fn packets_flow_in_negotiated_framing_once_ipcp_is_open() {
    let mut peer = Peer::new(without_auth());
    assert!(peer.session.packet(&[0x45; 20]).is_empty(), "not before");
    let options = Opt::write_all(&[Opt::new(2, [0; 4]), Opt::new(7, []), Opt::new(8, [])]);
    let heard = peer.say(protocol::LCP, &Packet::new(code::CONFIGURE_REQUEST, 1, options));
    let request = find(&heard, protocol::LCP, code::CONFIGURE_REQUEST);
    let heard = peer.say(protocol::LCP, &Packet::new(code::CONFIGURE_ACK, request.id, request.data));
    peer.open_ipcp(&heard);
    let line = peer.session.packet(&[0x45; 20]);
    let compressed = Framing { accm: 0, short_header: true, short_protocol: true };
    assert_eq!(line, [Action::Line(compressed.frame(protocol::IPV4, &[0x45; 20]))]);
}

#[test]
fn a_wrong_password_is_told_and_ends_the_call() {
    let mut peer = Peer::new(pap_only(true));
    peer.open_lcp();
    let heard = peer.say(0xc023, &Packet::new(1, 1, b"\x03web\x05wrong".to_vec()));
    find(&heard, 0xc023, 3);
    let end = peer.session.next_deadline().unwrap();
    assert_eq!(peer.session.tick(end), [Action::End]);
    assert_eq!(peer.session.next_deadline(), None);
}

#[test]
fn the_right_password_opens_the_network_and_a_repeated_request_is_answered_again() {
    let mut peer = Peer::new(pap_only(true));
    peer.open_lcp();
    let right = Packet::new(1, 1, b"\x03web\x06secret".to_vec());
    let heard = peer.say(0xc023, &right);
    find(&heard, 0xc023, 2);
    peer.open_ipcp(&heard);
    find(&peer.say(0xc023, &right), 0xc023, 2);
    assert!(peer.session.is_open(), "a repetition disturbs nothing");
}

#[test]
fn refusing_to_authenticate_is_fine_unless_it_is_required() {
    for required in [false, true] {
        let mut peer = Peer::new(pap_only(required));
        let heard = peer.say(protocol::LCP, &Packet::new(code::CONFIGURE_REQUEST, 1, vec![]));
        let request = find(&heard, protocol::LCP, code::CONFIGURE_REQUEST);
        let mut auth = Opt::parse_all(&request.data).unwrap();
        auth.retain(|option| option.kind == 3);
        let reject = Packet::new(code::CONFIGURE_REJECT, request.id, Opt::write_all(&auth));
        let request = find(&peer.say(protocol::LCP, &reject), protocol::LCP, code::CONFIGURE_REQUEST);
        let heard = peer.say(protocol::LCP, &Packet::new(code::CONFIGURE_ACK, request.id, request.data));
        if required {
            assert_eq!(peer.session.tick(START), [Action::End]);
        } else {
            peer.open_ipcp(&heard);
        }
    }
}

#[test]
fn a_terminate_request_ends_the_call() {
    let mut peer = Peer::new(without_auth());
    peer.open_lcp();
    let request = Packet::new(code::TERMINATE_REQUEST, 2, vec![]);
    let actions = peer.session.line(START, &Framing::PLAIN.frame(protocol::LCP, &request.bytes()));
    assert_eq!(actions.last(), Some(&Action::End));
    find(&peer.heard(&actions), protocol::LCP, code::TERMINATE_ACK);
}

#[test]
fn ipv6_gets_an_identifier_and_an_advertisement() {
    let prefix = "2001:db8:20::".parse().unwrap();
    let ipv6 = Some(Ipv6Subscriber { gateway_id: 1, subscriber_id: 2, prefix });
    let mut peer = Peer::new(CarrierConfig { ipv6, ..without_auth() });
    let heard = peer.open_lcp();
    let request = find(&heard, protocol::IPV6CP, code::CONFIGURE_REQUEST);
    peer.say(protocol::IPV6CP, &Packet::new(code::CONFIGURE_ACK, request.id, request.data));
    let ask =
        |id: u64| Packet::new(code::CONFIGURE_REQUEST, 1, Opt::write_all(&[Opt::new(1, id.to_be_bytes())]));
    let nak = find(&peer.say(protocol::IPV6CP, &ask(0)), protocol::IPV6CP, code::CONFIGURE_NAK);
    assert_eq!(Opt::parse_all(&nak.data).unwrap(), [Opt::new(1, 2_u64.to_be_bytes())]);
    let frame = Framing::PLAIN.frame(protocol::IPV6CP, &ask(2).bytes());
    let actions = peer.session.line(START, &frame);
    let advertisement = Framing::PLAIN.frame(protocol::IPV6, &router::advertisement(1, prefix));
    assert!(actions.contains(&Action::Line(advertisement)), "{actions:?}");
}
