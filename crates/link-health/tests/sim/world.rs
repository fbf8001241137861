//! A line and the internet behind it, as far as probes see them.

use link_health::{Family, Kind, Outcome, Target};
use std::time::Duration;

use super::rng::Rng;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Hard,
    /// What we send is lost; packets from outside still arrive.
    Asymmetric,
    Dns,
    /// A spent quota: echoes and names work, no web page comes.
    Http,
    Portal,
    Tls,
    /// Only the first operator is reached.
    Regions,
    V4,
    V6,
    /// A gateway answers for everybody, and web pages are its own.
    Impostor,
    /// The router says "unreachable" to everything.
    Unreachable,
    Target,
    Operator,
}

/// What a line is like while nothing fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Of round trips, independent of each other.
    pub loss: f64,
    /// Gilbert and Elliott: seconds between bursts, seconds of a burst, loss within (means).
    pub bursts: Option<(f64, f64, f64)>,
    /// Seconds between, seconds of, seconds added at once.
    pub spikes: Option<(f64, f64, f64)>,
    /// A queue that fills: seconds between, seconds of filling, seconds it holds in the end.
    pub bloat: Option<(f64, f64, f64)>,
}

#[derive(Debug)]
pub struct World {
    pub rng: Rng,
    weather: Weather,
    fault: Option<(Fault, f64, f64)>,
    rtt: f64,
    burst: (bool, f64),
    silenced: Option<String>,
}

/// Kernel's first timeout of a SYN (RFC 6298), and a usual one of data.
const SYN_RTO: f64 = 1.0;
const DATA_RTO: f64 = 0.3;

impl World {
    pub fn new(seed: u64, weather: Weather) -> Self {
        let mut rng = Rng::new(seed);
        // From fibre to a long way round.
        let rtt = 0.008 + 0.06 * rng.unit();
        let burst = (false, weather.bursts.map_or(f64::INFINITY, |(every, _, _)| rng.wait(every)));
        Self { rng, weather, fault: None, rtt, burst, silenced: None }
    }

    pub fn with_rtt(mut self, rtt: f64) -> Self {
        self.rtt = rtt;
        self
    }

    pub fn fail(&mut self, fault: Fault, from: f64, until: f64) {
        self.fault = Some((fault, from, until));
    }

    /// This operator never answers.
    pub fn silence(&mut self, operator: String) {
        self.silenced = Some(operator);
    }

    fn fault_at(&self, at: f64) -> Option<Fault> {
        self.fault.filter(|(_, from, until)| (*from..*until).contains(&at)).map(|(fault, _, _)| fault)
    }

    /// A packet there and one back; its time, or nothing.
    fn round_trip(&mut self, at: f64) -> Option<f64> {
        let jitter = 0.1 * self.rtt * self.rng.unit();
        let rtt = self.rtt + jitter + self.queue(at);
        let gone = |fault| matches!(fault, Some(Fault::Hard | Fault::Asymmetric));
        // Cut in the middle: what is on its way is lost as well.
        if gone(self.fault_at(at)) || gone(self.fault_at(at + rtt / 2.0)) {
            return None;
        }
        let bursting = self.is_bursting(at);
        let burst = self.weather.bursts.map_or(0.0, |(_, _, loss)| loss);
        if self.rng.chance(self.weather.loss) || (bursting && self.rng.chance(burst)) {
            return None;
        }
        Some(rtt)
    }

    fn is_bursting(&mut self, at: f64) -> bool {
        let Some((every, lasting, _)) = self.weather.bursts else { return false };
        while at >= self.burst.1 {
            let mean = if self.burst.0 { every } else { lasting };
            self.burst = (!self.burst.0, self.burst.1 + self.rng.wait(mean));
        }
        self.burst.0
    }

    fn queue(&self, at: f64) -> f64 {
        let spike = self
            .weather
            .spikes
            .filter(|(every, lasting, _)| at % every < *lasting)
            .map_or(0.0, |(_, _, more)| more);
        let bloat = self.weather.bloat.map_or(0.0, |(every, filling, full)| {
            let into = at % every;
            // It fills, stays full as long, and empties twice as fast.
            if into < filling {
                full * into / filling
            } else if into < 2.0 * filling {
                full
            } else {
                (full - 2.0 * full * (into / filling - 2.0)).max(0.0)
            }
        });
        spike + bloat
    }

    /// Asks a target: what comes of it, and after which time (no time: never).
    pub fn ask(
        &mut self,
        at: f64,
        place: usize,
        target: &Target,
        first_operator: &str,
    ) -> (Outcome, Option<f64>) {
        let silent = (Outcome::Silent, None);
        if self.silenced.as_ref() == Some(&target.operator) {
            return silent;
        }
        let web = matches!(target.kind, Kind::Http { .. });
        match self.fault_at(at) {
            Some(Fault::Dns) if matches!(target.kind, Kind::Dns { .. }) => return silent,
            Some(Fault::Dns) if target.address.is_none() => return (Outcome::Unresolvable, Some(1.0)),
            Some(Fault::Http) if web || matches!(target.kind, Kind::Tls) => return silent,
            Some(Fault::Tls | Fault::Portal) if matches!(target.kind, Kind::Tls) => return silent,
            Some(Fault::Portal | Fault::Impostor) if web => {
                let wrong =
                    Outcome::Wrong { code: Some(302), why: "302 to http://login.example/".to_owned() };
                return (wrong, self.stream(at, 3));
            }
            Some(Fault::Regions) if target.operator != first_operator => return silent,
            Some(Fault::V4) if target.family == Family::V4 => return silent,
            Some(Fault::V6) if target.family == Family::V6 => return silent,
            Some(Fault::Target) if place == 0 => return silent,
            Some(Fault::Operator) if target.operator == first_operator => return silent,
            Some(Fault::Unreachable) => {
                return (Outcome::Refused { why: "net unreachable".to_owned() }, Some(0.002));
            }
            _ => {}
        }
        let took = match target.kind {
            Kind::Icmp | Kind::Dns { .. } => self.round_trip(at),
            Kind::Tcp => self.stream(at, 1),
            Kind::Tls => self.stream(at, 2),
            Kind::Http { .. } => self.stream(at, 3),
        };
        let code = web.then_some(204);
        match took {
            Some(took) => (Outcome::Answered { latency: Duration::from_secs_f64(took), code }, Some(took)),
            None => silent,
        }
    }

    /// Round trips one after another; what is lost is repeated.
    fn stream(&mut self, at: f64, rounds: u32) -> Option<f64> {
        let mut took = 0.0;
        for round in 0..rounds {
            let mut rto = if round == 0 { SYN_RTO } else { DATA_RTO };
            took += loop {
                if let Some(rtt) = self.round_trip(at + took) {
                    break rtt;
                }
                took += rto;
                rto *= 2.0;
                if took > 15.0 {
                    return None;
                }
            };
        }
        Some(took)
    }
}
