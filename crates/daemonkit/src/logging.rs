//! Logging to the journal (levels as `<N>` prefixes, see sd-daemon(3)) or to a terminal.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Starts logging: under systemd in the journal's own form, elsewhere by simplelog.
///
/// `FAILBERRY_LOG` (`error`, `warn`, `info`, `debug`, `trace`) sets the level; `info` without.
pub fn init() {
    let level = std::env::var("FAILBERRY_LOG").ok().and_then(|l| l.parse().ok()).unwrap_or(LevelFilter::Info);
    // Set twice only in tests that start two daemons in one process; the first one wins.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        log::set_logger(&Journal).map(|()| log::set_max_level(level))
    } else {
        simplelog::WriteLogger::init(level, terminal_format(), std::io::stderr())
    };
}

fn terminal_format() -> simplelog::Config {
    simplelog::ConfigBuilder::new()
        .set_time_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .build()
}

struct Journal;

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let message = record.args().to_string().replace('\n', " | ");
            let _ = writeln!(std::io::stderr(), "<{}>{message}", priority(record.level()));
        }
    }

    fn flush(&self) {}
}

/// syslog(3) priorities.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
