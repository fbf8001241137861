//! How eagerly a line is watched.

/// How much a probe may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tempo {
    /// A line without a meter: an outage is told within two seconds.
    Brisk,
    /// A metered line: what passes is watched first, and probes stay far below 10 MB in 30 days.
    Frugal,
}

/// How a line is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How eagerly.
    pub tempo: Tempo,
    /// The interface carries nothing but this line, so its counters tell of the line. Not so for a
    /// wired line that is the LAN's interface, too: what arrives there may be a neighbour's broadcast.
    pub counters_tell: bool,
}

impl Settings {
    /// A wired line on the LAN's own interface.
    pub const fn wired() -> Self {
        Self { tempo: Tempo::Brisk, counters_tell: false }
    }

    /// A metered line with an interface of its own.
    pub const fn cellular() -> Self {
        Self { tempo: Tempo::Frugal, counters_tell: true }
    }

    /// The same line, watched at another tempo.
    #[must_use]
    pub const fn with_tempo(self, tempo: Tempo) -> Self {
        Self { tempo, ..self }
    }

    /// The same line, with counters that tell of it or not.
    #[must_use]
    pub const fn with_counters(self, counters_tell: bool) -> Self {
        Self { counters_tell, ..self }
    }
}
