//! What is at which path.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use httpd::{Request, Response, Site};
use snapshot::{DIRECTORY, Document, STALE_AFTER};
use sysio::{Monotonic, Root, clock};

use crate::verdict::{LINKS, Verdict};

/// Whose word about the lines counts.
const UPLINK: &str = "uplink";
const TEXT: &str = "text/plain";

/// `/` says that the appliance lives, `/health/<link>` how a line is.
#[derive(Debug)]
pub struct HealthSite {
    root: Root,
    boot_id: String,
    seen: Option<Seen>,
}

/// What was read last, and of which file: a snapshot is replaced, never changed.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    written: Monotonic,
    verdicts: [Verdict; LINKS.len()],
}

type Stamp = (SystemTime, u64, u64);

impl HealthSite {
    /// Of the system below `root`.
    ///
    /// # Errors
    /// If the kernel's boot id cannot be read.
    pub fn new(root: Root) -> std::io::Result<Self> {
        let boot_id = snapshot::boot_id(&root)?;
        Ok(Self { root, boot_id, seen: None })
    }

    /// How the line `LINKS[place]` is. The file is looked at each time and read when it is another one;
    /// its age counts now, so that a dead `uplink` is not believed for longer than others believe it.
    fn verdict(&mut self, place: usize, now: Monotonic) -> Verdict {
        let stamp = stamp(&self.root.path(DIRECTORY).join(format!("{UPLINK}.json")));
        let Some(stamp) = stamp else {
            self.seen = None;
            return Verdict::Unknown;
        };
        if self.seen.as_ref().is_none_or(|seen| seen.stamp != stamp) {
            let verdict = snapshot::read(&self.root, UPLINK, &self.boot_id, now);
            self.seen = Some(match verdict.fresh() {
                Some(document) => Seen::new(stamp, document),
                // Old, broken or of another boot: as good as none until it is replaced.
                None => Seen { stamp, written: now, verdicts: [Verdict::Unknown; LINKS.len()] },
            });
        }
        match &self.seen {
            Some(seen) if now.since(seen.written) <= STALE_AFTER => seen.verdicts[place],
            _ => Verdict::Unknown,
        }
    }
}

impl Seen {
    fn new(stamp: Stamp, document: &Document) -> Self {
        let verdicts = LINKS.map(|link| Verdict::read(document, link));
        Self { stamp, written: Monotonic::from_millis(document.monotonic_ms), verdicts }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = path.metadata().ok()?;
    Some((data.modified().ok()?, data.ino(), data.len()))
}

impl Site for HealthSite {
    fn answer(&mut self, request: &Request<'_>) -> Response {
        if request.path == "/" {
            return Response::ok(TEXT, &b"ok\n"[..]);
        }
        let link = request.path.strip_prefix("/health/");
        let Some(place) = link.and_then(|link| LINKS.iter().position(|name| *name == link)) else {
            return Response::not_found();
        };
        let verdict = self.verdict(place, clock::now());
        let body = verdict.text(LINKS[place]).into_bytes();
        if verdict.status() == 200 { Response::ok(TEXT, body) } else { Response::unavailable(TEXT, body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use httpd::Method;
    use serde_json::json;
    use std::fs;

    struct House {
        folder: tempfile::TempDir,
        site: HealthSite,
    }

    impl House {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("run/failberry")).unwrap();
            let kernel = folder.path().join("proc/sys/kernel/random");
            fs::create_dir_all(&kernel).unwrap();
            fs::write(kernel.join("boot_id"), "this-boot\n").unwrap();
            let site = HealthSite::new(Root::at(folder.path())).unwrap();
            Self { folder, site }
        }

        fn uplink_says(&self, boot_id: &str, written: Monotonic, wired: &str) {
            let text = json!({
                "schema": 1, "daemon": "uplink", "version": "0", "boot_id": boot_id,
                "monotonic_ms": written.as_millis(), "wall": null, "state": "online", "since_ms": 0,
                "conditions": [],
                "links": [{"name": "wired", "state": wired, "usable": wired == "up", "way": true}],
            });
            let path = self.folder.path().join("run/failberry/uplink.json");
            sysio::file::write_atomic(&path, text.to_string().as_bytes(), 0o644).unwrap();
        }

        fn get(&mut self, path: &str) -> (u16, String) {
            let request = Request { method: Method::Get, path, keep_alive: true, body: false };
            let response = self.site.answer(&request);
            (response.status, String::from_utf8(response.body.into_owned()).unwrap())
        }
    }

    #[test]
    fn the_root_answers_whatever_the_lines_do_and_nothing_else_is_there() {
        let mut house = House::new();
        assert_eq!(house.get("/"), (200, "ok\n".to_owned()));
        for path in
            ["/index.html", "//", "/health", "/health/", "/health/wired/", "/health/x", "/health/Wired"]
        {
            assert_eq!(house.get(path).0, 404, "{path}");
        }
    }

    #[test]
    fn a_line_is_as_the_last_snapshot_says() {
        let mut house = House::new();
        assert_eq!(house.get("/health/wired"), (503, "unknown wired\n".to_owned()));
        house.uplink_says("this-boot", clock::now(), "up");
        assert_eq!(house.get("/health/wired"), (200, "ok wired up\n".to_owned()));
        assert_eq!(house.get("/health/cellular"), (503, "unknown cellular\n".to_owned()));
        house.uplink_says("this-boot", clock::now(), "down");
        assert_eq!(house.get("/health/wired"), (503, "failed wired down\n".to_owned()));
        fs::remove_file(house.folder.path().join("run/failberry/uplink.json")).unwrap();
        assert_eq!(house.get("/health/wired").0, 503);
    }

    #[test]
    fn a_snapshot_that_is_too_old_broken_or_of_another_boot_is_unknown() {
        let mut house = House::new();
        let unknown = (503, "unknown wired\n".to_owned());
        house.uplink_says("last-boot", clock::now(), "up");
        assert_eq!(house.get("/health/wired"), unknown);
        fs::write(house.folder.path().join("run/failberry/uplink.json"), "{").unwrap();
        assert_eq!(house.get("/health/wired"), unknown);
        // As the file has it.
        let now = Monotonic::from_millis(clock::now().as_millis());
        house.uplink_says("this-boot", now, "up");
        assert_eq!(house.site.verdict(0, now), Verdict::Ok("up"));
        // The same file, later: nobody has replaced it.
        assert_eq!(house.site.verdict(0, now + STALE_AFTER), Verdict::Ok("up"));
        let late = now + STALE_AFTER + std::time::Duration::from_millis(1);
        assert_eq!(house.site.verdict(0, late), Verdict::Unknown);
    }
}
