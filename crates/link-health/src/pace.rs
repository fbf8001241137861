//! Every number of a tempo, with its reason.

use std::time::Duration;

use crate::{Kind, Tempo};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// A kind without its data: what schedules and quorums are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sort {
    Echo,
    Dns,
    Tcp,
    Tls,
    Http,
}

impl Sort {
    pub(crate) const ALL: [Self; 5] = [Self::Echo, Self::Dns, Self::Tcp, Self::Tls, Self::Http];

    pub(crate) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Icmp => Self::Echo,
            Kind::Dns { .. } => Self::Dns,
            Kind::Tcp => Self::Tcp,
            Kind::Tls => Self::Tls,
            Kind::Http { .. } => Self::Http,
        }
    }

    /// One packet each way: a lost one is a lost probe. TCP repeats what is lost.
    pub(crate) fn is_packet(self) -> bool {
        matches!(self, Self::Echo | Self::Dns)
    }

    /// Costs a few hundred bytes at most.
    pub(crate) fn is_cheap(self) -> bool {
        !matches!(self, Self::Tls | Self::Http)
    }
}

/// How long a kind may take: adapted to what was measured, within these bounds.
#[derive(Debug, Clone, Copy)]
struct Patience {
    least: Duration,
    most: Duration,
}

/// The numbers of a tempo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between two pulses: what an outage may cost before anybody can notice.
    pub(crate) pulse: Duration,
    /// Between two questions of a kind.
    period: [Duration; 5],
    patience: [Patience; 5],
    /// So long nothing must have come back before the line is called down. Mobile and wireless hops
    /// pause for a second without being dead; with [`Pace::unanswered`] it stays below two seconds.
    pub(crate) silence: Duration,
    /// A probe this old counts as unanswered in the judgement of a silence, whatever its timeout.
    pub(crate) unanswered: Duration,
    /// Unanswered probes that make a silence: six in a row are lost by chance once in 64 million
    /// times at 5 % loss, once in a million at 10 %.
    pub(crate) needed: usize,
    /// Between two waves to every operator while nothing comes back.
    pub(crate) wave: Duration,
    /// Between two questions to a target that is in doubt.
    pub(crate) nag: Duration,
    /// A target in doubt is asked again before the question before has timed out.
    pub(crate) impatient: bool,
    /// A doubt is settled by then, with what is known.
    pub(crate) doubt_longest: Duration,
    /// Between two questions to targets known to be dead.
    pub(crate) dead: Duration,
    /// While the line is down: the first gap between two probes, and the longest.
    pub(crate) down_first: Duration,
    pub(crate) down_longest: Duration,
    /// How long a better state must hold before it is said.
    pub(crate) hold: Duration,
    /// Loss is counted over this: at 10 % loss by chance a fifth of the 160 probes in it is four
    /// standard deviations away.
    pub(crate) loss_window: Duration,
}

/// A line that loses a fifth carries TCP at a crawl (Mathis: rate ~ 1/√loss).
pub(crate) const LOSSY_FROM: f64 = 20.0;
/// It is fine again below this.
pub(crate) const LOSSY_UNTIL: f64 = 12.0;
/// Fewer probes say nothing of loss.
pub(crate) const LOSS_NEEDS: usize = 20;
/// A window not spanned by probes for this long is no sustained loss.
pub(crate) const LOSS_SUSTAINED: Duration = secs(10);
/// From the first loss to the last: a family or a kind that dies is known by its name before that.
pub(crate) const LOSSES_SPREAD: Duration = secs(5);
/// A probe's result is missing this long after its timeout: the prober forgot it.
pub(crate) const GRACE: Duration = ms(100);
/// Late answers are waited for this long.
pub(crate) const LATE: Duration = secs(10);
/// A step so much after its deadline: we slept, not the line.
pub(crate) const STALL: Duration = ms(400);
/// Silence is blamed on our own sleep once in this time at most.
pub(crate) const SLEPT_AGAIN: Duration = secs(5);
/// Probes in flight at most.
pub(crate) const IN_FLIGHT: usize = 48;
/// Probes sent in one step at most.
pub(crate) const AT_ONCE: usize = 16;
/// When nothing but refusals of our own kernel came for this long, nothing is known any more.
pub(crate) const BLIND: Duration = secs(30);

const BRISK: Pace = Pace {
    pulse: ms(250),
    period: [ms(250), secs(2), secs(4), ms(4500), secs(4)],
    patience: [
        Patience { least: ms(300), most: ms(700) },
        Patience { least: ms(500), most: ms(1200) },
        Patience { least: ms(700), most: ms(1500) },
        Patience { least: ms(1500), most: ms(2000) },
        Patience { least: ms(1500), most: ms(2000) },
    ],
    silence: ms(1400),
    unanswered: ms(700),
    needed: 6,
    wave: ms(300),
    nag: ms(700),
    impatient: true,
    doubt_longest: secs(8),
    dead: secs(2),
    down_first: ms(500),
    down_longest: ms(500),
    hold: secs(1),
    loss_window: secs(40),
};

/// With [`crate::bytes`]: about 4 MB in 30 idle days.
const FRUGAL: Pace = Pace {
    pulse: secs(120),
    period: [secs(120), secs(900), hours(2), hours(12), hours(2)],
    patience: [
        Patience { least: ms(1000), most: ms(2500) },
        Patience { least: ms(1500), most: ms(3000) },
        Patience { least: ms(1500), most: ms(3000) },
        Patience { least: ms(2500), most: ms(4000) },
        Patience { least: ms(2500), most: ms(4000) },
    ],
    silence: ms(3000),
    unanswered: ms(1000),
    needed: 5,
    wave: ms(800),
    nag: ms(1500),
    impatient: false,
    doubt_longest: secs(20),
    dead: secs(900),
    down_first: secs(1),
    down_longest: secs(60),
    hold: secs(1),
    loss_window: secs(120),
};

/// A metered line that carries our traffic, as long as the allowance lasts.
const ACTIVE: Pace = Pace {
    pulse: secs(5),
    period: [secs(5), secs(30), secs(120), secs(600), secs(60)],
    dead: secs(60),
    down_longest: secs(15),
    ..FRUGAL
};

impl Pace {
    pub(crate) fn of(tempo: Tempo, generous: bool) -> &'static Self {
        match (tempo, generous) {
            (Tempo::Brisk, _) => &BRISK,
            (Tempo::Frugal, true) => &ACTIVE,
            (Tempo::Frugal, false) => &FRUGAL,
        }
    }

    pub(crate) fn period(&self, sort: Sort) -> Duration {
        self.period[sort as usize]
    }

    /// RFC 6298's formula, between the bounds of the kind. While echoes take `round_trip` because some
    /// queue is full, what needs several round trips gets them on top; echoes do not, since they are
    /// what a silence is judged by, and their late answers count anyway.
    pub(crate) fn timeout(
        &self,
        sort: Sort,
        smoothed: Option<(Duration, Duration)>,
        round_trip: Duration,
    ) -> Duration {
        let Patience { least, most } = self.patience[sort as usize];
        let usual =
            smoothed.map_or(most, |(mean, deviation)| (mean + 4 * deviation + ms(50)).clamp(least, most));
        let queued =
            if sort == Sort::Echo || round_trip < QUEUED { Duration::ZERO } else { round_trip * ROUND_TRIPS };
        usual + queued.min(QUEUED_MOST)
    }
}

/// Round trips from here on are a full queue's, not a distance's: half way around the world and back
/// takes 250 ms.
const QUEUED: Duration = ms(300);
/// Name, connection, greeting and page.
const ROUND_TRIPS: u32 = 4;
const QUEUED_MOST: Duration = secs(8);

/// Failures in a row after which a target is dead: four lost packets are chance once in 160,000 times
/// at 5 %; two more where the line is known to lose; TCP's own repeats make three enough.
pub(crate) fn fails_needed(sort: Sort, loss_percent: f64) -> u32 {
    let base = if sort.is_packet() { 4 } else { 3 };
    if loss_percent >= LOSSY_UNTIL { base + 2 } else { base }
}
