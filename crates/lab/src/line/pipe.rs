//! What a line does to each packet: counts it, carries it, loses it or lets it wait. Pure; the same
//! seed and the same packets are the same losses.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::packet::{Packet, TCP, UDP};
use super::{Direction, How, Kind, LineFault};
use crate::net::internet;
use crate::scenario::run::unit;

/// Packets under way in one direction; netem's default limit (`net/sched/sch_netem.c`).
const UNDER_WAY: usize = 1000;
/// DNS, HTTP and HTTPS (IANA).
const DNS: u16 = 53;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What went over a line in one direction, as its subscriber's bill would count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Packets that were handed to the line.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// Packets among them that never arrived.
    pub lost: u64,
}

/// One line's inside.
#[derive(Debug)]
pub struct Pipe {
    faults: Vec<LineFault>,
    random: u64,
    up: Way,
    down: Way,
    /// When something was last sent to a port of the internet (TCP and UDP alike).
    last_to_port: BTreeMap<u16, Duration>,
}

#[derive(Debug, Default)]
struct Way {
    counted: Counted,
    under_way: VecDeque<(Duration, Vec<u8>)>,
}

impl Pipe {
    /// A line without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            faults: Vec::new(),
            random: seed,
            up: Way::default(),
            down: Way::default(),
            last_to_port: BTreeMap::new(),
        }
    }

    /// The faults it has from now on.
    pub fn set_faults(&mut self, faults: Vec<LineFault>) {
        self.faults = faults;
    }

    /// What was counted in a direction.
    pub fn counted(&self, direction: Direction) -> Counted {
        match direction {
            Direction::Up => self.up.counted,
            Direction::Down => self.down.counted,
        }
    }

    /// When something was last sent to that port of the internet.
    pub fn last_to_port(&self, port: u16) -> Option<Duration> {
        self.last_to_port.get(&port).copied()
    }

    /// Takes a packet.
    pub fn push(&mut self, now: Duration, direction: Direction, bytes: &[u8]) {
        let Some(packet) = Packet::read(bytes) else { return };
        if let (Direction::Up, Some((_, port))) = (direction, packet.ports) {
            self.last_to_port.insert(port, now);
        }
        let lost = self.faults.iter().any(|fault| swallows(fault, direction, &packet))
            || self.chance_takes_it(direction);
        let delay = self.delay(direction);
        let way = self.way(direction);
        if !packet.is_of_the_link() {
            way.counted.packets += 1;
            way.counted.bytes += bytes.len() as u64;
            way.counted.lost += u64::from(lost);
        }
        if lost || way.under_way.len() >= UNDER_WAY {
            return;
        }
        // A queue keeps its order: what was sent later does not arrive earlier.
        let due = (now + delay).max(way.under_way.back().map_or(Duration::ZERO, |(due, _)| *due));
        way.under_way.push_back((due, bytes.to_vec()));
    }

    /// A packet that arrives now.
    pub fn pop(&mut self, now: Duration) -> Option<(Direction, Vec<u8>)> {
        for direction in [Direction::Up, Direction::Down] {
            let way = self.way(direction);
            if way.under_way.front().is_some_and(|(due, _)| *due <= now) {
                return way.under_way.pop_front().map(|(_, bytes)| (direction, bytes));
            }
        }
        None
    }

    /// When [`Self::pop`] has something.
    pub fn next_deadline(&self) -> Option<Duration> {
        [&self.up, &self.down].into_iter().filter_map(|way| Some(way.under_way.front()?.0)).min()
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    fn chance_takes_it(&mut self, direction: Direction) -> bool {
        let mut taken = false;
        for fault in self.faults.iter().filter(|fault| fault.kind == Kind::Loss && fault.goes(direction)) {
            taken |= unit(&mut self.random) * 100.0 < fault.percent;
        }
        taken
    }

    fn delay(&mut self, direction: Direction) -> Duration {
        let mut delay = Duration::ZERO;
        for fault in self.faults.iter().filter(|fault| fault.kind == Kind::Latency && fault.goes(direction)) {
            delay += fault.delay + fault.jitter.mul_f64(unit(&mut self.random));
        }
        delay
    }
}

impl LineFault {
    fn goes(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|only| only == direction)
    }
}

/// Whether a fault makes every such packet vanish.
fn swallows(fault: &LineFault, direction: Direction, packet: &Packet) -> bool {
    let port = |wanted: u16| packet.ports.is_some_and(|(from, to)| from == wanted || to == wanted);
    let (of_tcp, of_udp) = (packet.protocol == TCP, packet.protocol == UDP);
    let dropped = fault.how == How::Drop;
    match fault.kind {
        Kind::Down => true,
        Kind::Asymmetric => fault.goes(direction),
        Kind::Ipv4 => packet.destination.is_ipv4(),
        Kind::Ipv6 => packet.destination.is_ipv6(),
        Kind::Dns => (of_tcp || of_udp) && port(DNS),
        Kind::Http => dropped && of_tcp && port(HTTP),
        // QUIC has no other way either (RFC 9000).
        Kind::Tls => (dropped && of_tcp || of_udp) && port(HTTPS),
        Kind::QuotaWall => (dropped && of_tcp || of_udp) && !port(DNS),
        Kind::Transit => {
            let far: IpAddr = if direction == Direction::Up { packet.destination } else { packet.source };
            fault.operators.iter().any(|operator| internet::is_of(operator, far))
        }
        Kind::Loss | Kind::Latency | Kind::Portal | Kind::GatewayAnswersAll => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::super::packet::tests::{ipv6, udp};
    use super::*;

    fn fault(kind: Kind) -> LineFault {
        LineFault {
            line: Line::Wired,
            kind,
            percent: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            direction: None,
            how: kind.row().how,
            operators: Vec::new(),
        }
    }

    /// Whether a packet comes through at once.
    fn passes(faults: &[LineFault], direction: Direction, bytes: &[u8]) -> bool {
        let mut pipe = Pipe::new(1);
        pipe.set_faults(faults.to_vec());
        pipe.push(Duration::ZERO, direction, bytes);
        pipe.pop(Duration::ZERO) == Some((direction, bytes.to_vec()))
    }

    #[test]
    fn a_sound_line_carries_and_counts() {
        let mut pipe = Pipe::new(1);
        pipe.push(Duration::from_secs(3), Direction::Up, &udp(1000, 51820));
        assert_eq!(pipe.counted(Direction::Up), Counted { packets: 1, bytes: 28, lost: 0 });
        assert_eq!(pipe.counted(Direction::Down), Counted::default());
        assert_eq!(pipe.last_to_port(51820), Some(Duration::from_secs(3)));
        assert_eq!(pipe.last_to_port(1000), None);
        assert!(pipe.pop(Duration::from_secs(3)).is_some());
    }

    #[test]
    fn each_fault_swallows_its_own_packets_only() {
        let (name, other) = (udp(1000, 53), udp(1000, 51820));
        assert!(!passes(&[fault(Kind::Down)], Direction::Up, &other));
        assert!(!passes(&[fault(Kind::Dns)], Direction::Up, &name));
        assert!(!passes(&[fault(Kind::Dns)], Direction::Down, &udp(53, 1000)));
        assert!(passes(&[fault(Kind::Dns)], Direction::Up, &other));
        assert!(!passes(&[fault(Kind::Ipv6)], Direction::Up, &ipv6()));
        assert!(passes(&[fault(Kind::Ipv6)], Direction::Up, &other));
        assert!(!passes(&[fault(Kind::Ipv4)], Direction::Up, &other));
        assert!(passes(&[fault(Kind::Ipv4)], Direction::Up, &ipv6()));
        assert!(passes(&[fault(Kind::QuotaWall)], Direction::Up, &name));
        assert!(!passes(&[fault(Kind::QuotaWall)], Direction::Up, &other));
        let up = LineFault { direction: Some(Direction::Up), ..fault(Kind::Asymmetric) };
        assert!(!passes(std::slice::from_ref(&up), Direction::Up, &other));
        assert!(passes(&[up], Direction::Down, &other));
    }

    #[test]
    fn transit_takes_the_named_operators_only() {
        let mut to_google = udp(1000, 53);
        to_google[16..20].copy_from_slice(&[8, 8, 8, 8]);
        let gone = LineFault { operators: vec!["google".to_owned()], ..fault(Kind::Transit) };
        assert!(!passes(std::slice::from_ref(&gone), Direction::Up, &to_google));
        assert!(passes(std::slice::from_ref(&gone), Direction::Down, &to_google));
        assert!(passes(&[gone], Direction::Up, &udp(1000, 53)));
    }

    #[test]
    fn loss_is_as_high_as_asked_and_follows_the_seed() {
        let losses = |seed: u64| {
            let mut pipe = Pipe::new(seed);
            pipe.set_faults(vec![LineFault { percent: 30.0, ..fault(Kind::Loss) }]);
            let mut passed = Vec::new();
            for _ in 0..10_000 {
                pipe.push(Duration::ZERO, Direction::Up, &udp(1, 2));
                passed.push(pipe.pop(Duration::ZERO).is_some());
            }
            (pipe.counted(Direction::Up).lost, passed)
        };
        let (lost, passed) = losses(1);
        // Four standard deviations of a binomial with n = 10000, p = 0.3 are 183.
        assert!((2817..=3183).contains(&lost), "{lost}");
        assert_eq!(losses(1).1, passed);
        assert_ne!(losses(2).1, passed);
    }

    #[test]
    fn latency_delays_and_keeps_the_order() {
        let mut pipe = Pipe::new(1);
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(50));
        pipe.set_faults(vec![LineFault { delay, jitter, ..fault(Kind::Latency) }]);
        for source in 0..100 {
            pipe.push(Duration::from_millis(u64::from(source)), Direction::Up, &udp(source, 2));
        }
        assert!(pipe.pop(Duration::from_millis(99)).is_none());
        assert!(pipe.next_deadline().unwrap() >= delay);
        let all: Vec<_> = std::iter::from_fn(|| pipe.pop(Duration::from_millis(250))).collect();
        assert_eq!(all, (0..100).map(|source| (Direction::Up, udp(source, 2))).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_stands_still_does_not_grow() {
        let mut pipe = Pipe::new(1);
        pipe.set_faults(vec![LineFault { delay: Duration::from_secs(60), ..fault(Kind::Latency) }]);
        for _ in 0..2 * UNDER_WAY {
            pipe.push(Duration::ZERO, Direction::Up, &udp(1, 2));
        }
        let arrived = std::iter::from_fn(|| pipe.pop(Duration::from_secs(61))).count();
        assert_eq!(arrived, UNDER_WAY);
    }
}
