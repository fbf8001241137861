//! The record in files: for the page's charts each minute, and on data for after a power cut.
//!
//! Both are written line by line into a temporary file and renamed: a day of a full list is more than
//! a small box should hold in memory twice.

use super::ring::{Point, Ring, Track, When, millis, start_of};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};
use sysio::{Monotonic, Root, file};

const SHOWN_MODE: u32 = 0o644;
const KEPT_MODE: u32 = 0o600;
const SCHEMA: u32 = 1;
/// Seconds of what is shown.
const DAY: u64 = 24 * 60 * 60;
const KEPT_HEADER: &str = "failberry-history 1";
/// SD cards wear out: at half a megabyte a time this is 24 MB a day. A power cut costs that much of a chart.
const KEEP_EVERY: Duration = Duration::from_secs(30 * 60);
/// What is shown has a bar in so many steps: it lies in memory (`/run`), and while it is replaced twice. A
/// day of all tracks is 160 · 288 · 100 bytes = 4.6 MB, of the 24 MB the unit allows.
const BAR: Duration = Duration::from_secs(5 * 60);
/// A day of all tracks is far below.
const KEPT_LIMIT: u64 = 16 * 1024 * 1024;

/// Where a daemon's record lies.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// What others read.
    pub shown: &'static str,
    /// What survives.
    pub kept: &'static str,
}

/// Where the record is written, and when again.
#[derive(Debug)]
pub struct Store {
    root: Root,
    place: Place,
    boot_id: String,
    keep_at: Option<Monotonic>,
    failed: bool,
}

/// The two clocks of one moment.
struct Clock {
    now: Monotonic,
    /// Seconds since 1970, if that can be right.
    unix: Option<u64>,
}

impl Store {
    /// For the boot `boot_id`, below `root`.
    pub fn new(root: &Root, boot_id: &str, place: Place) -> Self {
        Self { root: root.clone(), place, boot_id: boot_id.to_owned(), keep_at: None, failed: false }
    }

    /// What an earlier process or boot kept. A file that makes no sense is set aside.
    pub fn load(&self) -> Ring {
        let path = self.root.path(self.place.kept);
        let read = file::read_bounded(&path, KEPT_LIMIT);
        let text = match read {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ring::default(),
            Err(error) => {
                log::warn!("read {}: {error}; charts begin anew", path.display());
                None
            }
        };
        text.and_then(|text| parse(&text, &self.boot_id)).unwrap_or_else(|| {
            let aside = path.with_extension("bad");
            match fs::rename(&path, &aside) {
                Ok(()) => log::warn!("{} makes no sense; kept as {}", path.display(), aside.display()),
                Err(error) => log::warn!("set {} aside: {error}", path.display()),
            }
            Ring::default()
        })
    }

    /// Writes what is shown, and now and then what is kept; `end` says that there is no later.
    pub fn write(&mut self, now: Monotonic, wall: Option<SystemTime>, ring: &Ring, end: bool) {
        let unix = wall.and_then(|w| w.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|d| d.as_secs());
        let clock = Clock { now, unix };
        let mut result = self.show(ring, &clock);
        let keep_at = *self.keep_at.get_or_insert(now + KEEP_EVERY);
        if end || now >= keep_at {
            self.keep_at = Some(now + KEEP_EVERY);
            result = result.and(self.keep(ring, &clock));
        }
        // The transition, not each minute of it.
        match &result {
            Err(error) if !self.failed => log::warn!("write the charts' record: {error}"),
            Ok(()) if self.failed => log::info!("the charts' record is written again"),
            _ => {}
        }
        self.failed = result.is_err();
    }

    fn show(&self, ring: &Ring, clock: &Clock) -> io::Result<()> {
        let path = self.root.path(self.place.shown);
        // Its folder is made by the unit; elsewhere, where nobody has made it, there are no charts.
        if !path.parent().is_some_and(Path::is_dir) {
            return Ok(());
        }
        file::stream_atomic(&path, SHOWN_MODE, |out| show(out, ring, clock, &self.boot_id))
    }

    fn keep(&self, ring: &Ring, clock: &Clock) -> io::Result<()> {
        let path = self.root.path(self.place.kept);
        // Without the data partition there is nothing to keep it on; who mounts it says so.
        if !path.parent().is_some_and(Path::is_dir) {
            return Ok(());
        }
        // Not synced: a card may take seconds for that, and answers to probes would be missed. A cut may
        // cost the charts, nothing else.
        file::stream_atomic(&path, KEPT_MODE, |out| keep(out, ring, clock, &self.boot_id))
    }
}

impl Clock {
    /// A step's start by both clocks: milliseconds of `CLOCK_BOOTTIME`, negative before this boot, and
    /// the wall clock's seconds. None for a step that cannot be placed.
    fn place(&self, when: When) -> Option<(i64, Option<u64>)> {
        match when {
            When::Step(step) => {
                let start = start_of(step);
                let ago = self.now.since(start).as_secs();
                Some((i64::try_from(start.as_millis()).ok()?, self.unix.map(|unix| unix.saturating_sub(ago))))
            }
            When::Wall(at) => {
                let ago = self.unix?.checked_sub(at)?;
                if ago > DAY {
                    return None;
                }
                let now = i64::try_from(self.now.as_millis()).ok()?;
                Some((now - i64::try_from(ago).ok()? * 1000, Some(at)))
            }
        }
    }
}

fn show(out: &mut impl Write, ring: &Ring, clock: &Clock, boot_id: &str) -> io::Result<()> {
    write!(out, r#"{{"schema":{SCHEMA},"boot_id":{},"step_s":{},"links":["#, text(boot_id), BAR.as_secs())?;
    let mut lines: Vec<&str> = ring.tracks.iter().map(|t| t.line.as_str()).collect();
    lines.sort_unstable();
    lines.dedup();
    for (n, line) in lines.iter().enumerate() {
        write!(out, r#"{}{{"name":{},"targets":["#, comma(n), text(line))?;
        for (n, track) in ring.tracks.iter().filter(|t| t.line == *line).enumerate() {
            let [name, operator, kind] = [&track.name, &track.operator, &track.kind].map(|t| text(t));
            write!(out, r#"{}{{"name":{name},"operator":{operator},"kind":{kind},"points":["#, comma(n))?;
            for (n, bar) in bars(track, clock).enumerate() {
                out.write_all(comma(n).as_bytes())?;
                show_point(out, bar.ms, bar.unix, bar.point())?;
            }
            out.write_all(b"]}")?;
        }
        out.write_all(b"]}")?;
    }
    out.write_all(b"]}\n")
}

/// Some steps of a track as one.
#[derive(Default)]
struct Bar {
    ms: i64,
    unix: Option<u64>,
    sum: Point,
    medians: Vec<u16>,
}

impl Bar {
    fn add(&mut self, point: Point) {
        let sum = &mut self.sum;
        sum.sent = sum.sent.saturating_add(point.sent);
        sum.lost = sum.lost.saturating_add(point.lost);
        sum.worst = sum.worst.max(point.worst);
        sum.code = if point.code > 0 { point.code } else { sum.code };
        self.medians.extend((point.median > 0).then_some(point.median));
    }

    fn point(mut self) -> Point {
        self.medians.sort_unstable();
        self.sum.median = self.medians.get(self.medians.len() / 2).copied().unwrap_or_default();
        self.sum
    }
}

/// The track's bars; each begins with its first step.
fn bars<'a>(track: &'a Track, clock: &'a Clock) -> impl Iterator<Item = Bar> + 'a {
    let long = i64::try_from(BAR.as_millis()).unwrap_or(i64::MAX);
    let mut placed =
        track.all().filter_map(move |(when, point)| Some((clock.place(when)?, point))).peekable();
    std::iter::from_fn(move || {
        let ((ms, unix), point) = placed.next()?;
        let mut bar = Bar { ms, unix, ..Bar::default() };
        bar.add(point);
        let same = |at: i64| at.div_euclid(long) == ms.div_euclid(long);
        while let Some((_, point)) = placed.next_if(|((at, _), _)| same(*at)) {
            bar.add(point);
        }
        Some(bar)
    })
}

fn show_point(out: &mut impl Write, ms: i64, unix: Option<u64>, point: Point) -> io::Result<()> {
    let unix = or_null(unix);
    let [median, worst] = [point.median, point.worst].map(|tenths| or_null(millis(tenths)));
    let code = or_null((point.code > 0).then_some(point.code));
    let Point { sent, lost, .. } = point;
    write!(
        out,
        r#"{{"ms":{ms},"unix":{unix},"sent":{sent},"lost":{lost},"median_ms":{median},"worst_ms":{worst},"code":{code}}}"#
    )
}

fn comma(n: usize) -> &'static str {
    if n == 0 { "" } else { "," }
}

fn or_null<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |v| v.to_string())
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `T line name operator kind`, tabs between, then `P` lines of that target: `b` and a step, or `w`
/// and seconds since 1970, then the numbers.
fn keep(out: &mut impl Write, ring: &Ring, clock: &Clock, boot_id: &str) -> io::Result<()> {
    writeln!(out, "{KEPT_HEADER} {boot_id}")?;
    for track in &ring.tracks {
        writeln!(out, "T\t{}\t{}\t{}\t{}", track.line, track.name, track.operator, track.kind)?;
        for (when, point) in track.all() {
            let Point { sent, lost, median, worst, code } = point;
            let (step, wall) = match when {
                When::Step(step) => (step, clock.place(when).and_then(|(_, unix)| unix).unwrap_or(0)),
                When::Wall(at) => (0, at),
            };
            let mark = if matches!(when, When::Step(_)) { 'b' } else { 'w' };
            writeln!(out, "P {mark} {step} {wall} {sent} {lost} {median} {worst} {code}")?;
        }
    }
    Ok(())
}

/// None if the text is not one of ours.
fn parse(text: &str, boot_id: &str) -> Option<Ring> {
    let mut lines = text.lines();
    let same_boot = lines.next()?.strip_prefix(KEPT_HEADER)?.trim() == boot_id;
    let mut ring = Ring::default();
    let mut track: Option<Track> = None;
    for line in lines {
        if let Some(words) = line.strip_prefix("T\t") {
            let mut words = words.split('\t');
            let [line, name, operator, kind] = [words.next()?, words.next()?, words.next()?, words.next()?];
            if let Some(done) = track.replace(Track::new(line, name, operator, kind)) {
                ring.restore(done);
            }
        } else {
            let (step, wall, mark, point) = kept_point(line)?;
            let when = match mark {
                "b" if same_boot => Some(When::Step(step)),
                // A step of an earlier boot whose clock was never right cannot be placed.
                _ => (wall > 0).then_some(When::Wall(wall)),
            };
            if let Some(when) = when {
                track.as_mut()?.push(when, point);
            }
        }
    }
    if let Some(done) = track {
        ring.restore(done);
    }
    Some(ring)
}

fn kept_point(line: &str) -> Option<(u32, u64, &str, Point)> {
    let mut words = line.strip_prefix("P ")?.split(' ');
    let mark = words.next().filter(|m| ["b", "w"].contains(m))?;
    let (step, wall) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut number = || words.next()?.parse::<u16>().ok();
    let point =
        Point { sent: number()?, lost: number()?, median: number()?, worst: number()?, code: number()? };
    Some((step, wall, mark, point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Asked;
    use serde_json::Value;

    const SHOWN: &str = "/run/failberry-x/history.json";
    const KEPT: &str = "/data/failberry/x/history";
    const PLACE: Place = Place { shown: SHOWN, kept: KEPT };

    const BOOT: &str = "11111111-2222-3333-4444-555555555555";
    const NOON: u64 = 1_800_000_000;

    fn asked(name: &str) -> Asked<'_> {
        Asked { line: "wired", name, operator: "x", kind: "icmp" }
    }

    fn filled(from_s: u64) -> Ring {
        let mut ring = Ring::default();
        for s in [from_s, from_s + 60] {
            let latency = Some(Duration::from_micros(12_340));
            ring.note(Monotonic::from_secs(s), &asked("icmp 192.0.2.1"), latency, None);
        }
        ring
    }

    fn wall(unix: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(unix)
    }

    fn system() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        for path in [SHOWN, KEPT] {
            fs::create_dir_all(root.path(path).parent().unwrap()).unwrap();
        }
        (dir, root)
    }

    fn shown(root: &Root) -> Value {
        let text = fs::read_to_string(root.path(SHOWN)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    }

    #[test]
    fn points_carry_both_clocks() {
        let (_dir, root) = system();
        let now = Monotonic::from_secs(600);
        Store::new(&root, BOOT, PLACE).write(now, Some(wall(NOON)), &filled(300), false);
        let shown = shown(&root);
        assert_eq!(
            (&shown["schema"], &shown["step_s"], &shown["boot_id"]),
            (&1.into(), &300.into(), &BOOT.into())
        );
        let points = &shown["links"][0]["targets"][0]["points"];
        assert_eq!(points[0]["ms"], 300_000);
        assert_eq!(points[0]["unix"], NOON - 300);
        assert_eq!((&points[0]["median_ms"], &points[0]["code"]), (&12.3.into(), &Value::Null));
    }

    #[test]
    fn a_wall_clock_that_jumps_by_years_moves_labels_and_nothing_else() {
        let (_dir, root) = system();
        let mut store = Store::new(&root, BOOT, PLACE);
        let ring = filled(300);
        let mut places = Vec::new();
        for clock in [Some(wall(NOON)), Some(wall(NOON + 400_000_000)), Some(wall(1)), None] {
            store.write(Monotonic::from_secs(600), clock, &ring, true);
            let points = shown(&root)["links"][0]["targets"][0]["points"].clone();
            places.push((points[0]["ms"].clone(), points.as_array().unwrap().len()));
        }
        assert_eq!(places, vec![(Value::from(300_000), 1); 4]);
    }

    #[test]
    fn what_was_kept_is_there_after_a_crash_and_after_a_reboot() {
        let (_dir, root) = system();
        Store::new(&root, BOOT, PLACE).write(Monotonic::from_secs(600), Some(wall(NOON)), &filled(300), true);
        let same = Store::new(&root, BOOT, PLACE).load();
        assert_eq!(same.tracks[0].points[0].0, When::Step(5));
        let mut next = Store::new(&root, "another boot", PLACE);
        let ring = next.load();
        // A hundred seconds after that, ten seconds into the new boot.
        next.write(Monotonic::from_secs(10), Some(wall(NOON + 100)), &ring, false);
        let point = shown(&root)["links"][0]["targets"][0]["points"][0].clone();
        assert_eq!((&point["ms"], &point["unix"]), (&(-390_000).into(), &(NOON - 300).into()));
        // While the clock is not known to be right, earlier boots cannot be placed.
        next.write(Monotonic::from_secs(10), None, &ring, false);
        assert!(shown(&root)["links"][0]["targets"][0]["points"].as_array().unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_set_aside_and_never_fatal() {
        let (_dir, root) = system();
        for broken in ["", "{", "failberry-history 1 x\nP b 1 1 1 1 1 1 1\n", "failberry-history 1 x\nT\ta\n"]
        {
            fs::write(root.path(KEPT), broken).unwrap();
            assert_eq!(Store::new(&root, BOOT, PLACE).load(), Ring::default());
            assert!(!root.path(KEPT).exists());
            assert_eq!(fs::read_to_string(root.path(KEPT).with_extension("bad")).unwrap(), broken);
        }
        fs::write(root.path(KEPT), [0xff; 10]).unwrap();
        assert_eq!(Store::new(&root, BOOT, PLACE).load(), Ring::default());
    }

    #[test]
    fn what_is_shown_is_bounded_however_many_targets_there_were() {
        let (_dir, root) = system();
        let mut ring = Ring::default();
        for minute in 0..24 * 60 {
            for n in 0..160 {
                let name = format!("https 2001:db8:{n:x}::1");
                let latency = Some(Duration::from_micros(12_340));
                ring.note(Monotonic::from_secs(minute * 60), &asked(&name), latency, Some(204));
            }
        }
        Store::new(&root, BOOT, PLACE).write(
            Monotonic::from_secs(24 * 60 * 60),
            Some(wall(NOON)),
            &ring,
            false,
        );
        let length = fs::metadata(root.path(SHOWN)).unwrap().len();
        assert!(length < 5_000_000, "{length} bytes");
        let shown = shown(&root);
        let points = shown["links"][0]["targets"][0]["points"].as_array().unwrap().clone();
        assert_eq!(points.len(), 288);
        assert_eq!((&points[1]["sent"], &points[1]["median_ms"]), (&5.into(), &12.3.into()));
    }

    #[test]
    fn data_are_spared() {
        let (_dir, root) = system();
        let mut store = Store::new(&root, BOOT, PLACE);
        let ring = filled(0);
        for minute in 0..29 {
            store.write(Monotonic::from_secs(minute * 60), Some(wall(NOON)), &ring, false);
        }
        assert!(!root.path(KEPT).exists());
        store.write(Monotonic::from_secs(30 * 60), Some(wall(NOON)), &ring, false);
        assert!(root.path(KEPT).exists());
    }
}
