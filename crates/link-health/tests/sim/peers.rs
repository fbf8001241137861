//! What others do, by their own programs and defaults.

use super::rng::Rng;
use super::world::{Fault, Weather, World};
use super::{target, targets};
use link_health::{Family, Kind, Outcome};

/// Somebody else's way of watching a line: when it says down, and what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// mwan3track of openwrt/packages with its defaults: one echo to one address after another until
    /// one answers, 4 s each; 10 s pause; down after five rounds without an answer, up after five with.
    Mwan3 { targets: usize },
    /// dpinger as pfSense starts it: an echo each 500 ms, lost after 2 s, averaged over 60 s, looked at
    /// each second; down above 20 % loss or 500 ms.
    Dpinger,
}

impl Peer {
    pub fn name(self) -> String {
        match self {
            Self::Mwan3 { targets } => {
                format!("mwan3, {targets} target{}", if targets == 1 { "" } else { "s" })
            }
            Self::Dpinger => "dpinger (pfSense)".to_owned(),
        }
    }

    /// Bytes in 30 days, both ways: an echo of mwan3 has 56 bytes of payload, of dpinger none.
    pub fn bytes_a_month(self) -> f64 {
        const MONTH: f64 = 30.0 * 86_400.0;
        match self {
            Self::Mwan3 { .. } => MONTH / 10.0 * 2.0 * (20.0 + 8.0 + 56.0),
            Self::Dpinger => MONTH / 0.5 * 2.0 * (20.0 + 8.0),
        }
    }

    /// Moments at which it says down (true) or up again, until `until`.
    pub fn play(self, world: &mut World, seed: u64, until: f64) -> Vec<(f64, bool)> {
        match self {
            Self::Mwan3 { targets } => mwan3(world, targets, seed, until),
            Self::Dpinger => dpinger(world, seed, until),
        }
    }
}

fn echo(world: &mut World, at: f64, place: usize, patience: f64) -> Option<f64> {
    let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    let operators = ["cloudflare", "google", "quad9", "opendns"];
    let target = target("echo", operators[place], Kind::Icmp, Family::V4, Some(addresses[place]));
    match world.ask(at, place, &target, &targets()[0].operator) {
        (Outcome::Answered { .. }, Some(took)) if took <= patience => Some(took),
        _ => None,
    }
}

fn mwan3(world: &mut World, hosts: usize, seed: u64, until: f64) -> Vec<(f64, bool)> {
    const TIMEOUT: f64 = 4.0;
    const INTERVAL: f64 = 10.0;
    const DOWN: u32 = 5;
    const UP: u32 = 5;
    let mut said = Vec::new();
    let mut at = Rng::new(seed).unit() * INTERVAL;
    // Its score counts from down + up towards 0; below or at `up` the line is down.
    let mut score = DOWN + UP;
    while at < until {
        let mut answered = false;
        for host in 0..hosts {
            match echo(world, at, host, TIMEOUT) {
                Some(took) => (answered, at) = (true, at + took),
                None => at += TIMEOUT,
            }
            if answered {
                break;
            }
        }
        if answered {
            score += 1;
            if score == UP {
                said.push((at, false));
                score = DOWN + UP;
            }
            score = if score > UP { DOWN + UP } else { score };
        } else {
            score = score.saturating_sub(1);
            if score == UP {
                said.push((at, true));
            }
            score = if score <= UP { 0 } else { score };
        }
        at += INTERVAL;
    }
    said
}

fn dpinger(world: &mut World, seed: u64, until: f64) -> Vec<(f64, bool)> {
    const SEND: f64 = 0.5;
    const LOST_AFTER: f64 = 2.0;
    const SLOTS: usize = 120;
    const LOSS: u64 = 20;
    const LATENCY: f64 = 0.5;
    const LOOK: f64 = 1.0;
    /// The alarm goes off when it has been fine for so many looks (`ALARM_DECAY_PERIODS`).
    const DECAY: u32 = 10;
    let mut rng = Rng::new(seed);
    let (mut next_echo, mut glance) = (rng.unit() * SEND, rng.unit() * LOOK);
    let mut slots: Vec<(f64, Option<f64>)> = Vec::with_capacity(SLOTS);
    let (mut next, mut decay, mut said) = (0, 0, Vec::new());
    while next_echo.min(glance) < until {
        if next_echo <= glance {
            let answer = echo(world, next_echo, 0, 10.0).map(|took| next_echo + took);
            if slots.len() < SLOTS {
                slots.push((next_echo, answer));
            } else {
                slots[next] = (next_echo, answer);
            }
            next = (next + 1) % SLOTS;
            next_echo += SEND;
            continue;
        }
        let came: Vec<f64> =
            slots.iter().filter_map(|(sent, at)| at.filter(|at| *at <= glance).map(|at| at - sent)).collect();
        let lost = slots
            .iter()
            .filter(|(sent, at)| at.is_none_or(|at| at > glance) && glance - sent > LOST_AFTER)
            .count();
        #[expect(clippy::cast_precision_loss, reason = "a count up to 120")]
        let mean = came.iter().sum::<f64>() / came.len().max(1) as f64;
        let bad = 100 * lost as u64 / ((came.len() + lost).max(1) as u64) > LOSS || mean > LATENCY;
        if bad {
            if decay == 0 {
                said.push((glance, true));
            }
            decay = DECAY;
        } else if decay > 0 {
            decay -= 1;
            if decay == 0 {
                said.push((glance, false));
            }
        }
        glance += LOOK;
    }
    said
}

/// Seconds from a fault to "down".
pub fn detect(peer: Peer, weather: Weather, fault: Fault, seed: u64) -> Option<f64> {
    const LIMIT: f64 = 200.0;
    let from = 130.0 + 20.0 * Rng::new(seed ^ 0xabcd).unit();
    let mut world = World::new(seed, weather);
    world.fail(fault, from, f64::INFINITY);
    peer.play(&mut world, seed, from + LIMIT)
        .iter()
        .find(|(at, down)| *at >= from && *down)
        .map(|(at, _)| at - from)
}
