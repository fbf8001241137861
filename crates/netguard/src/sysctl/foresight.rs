//! What the next run of a loader would undo, told before it happens.

use super::{files, forwards};
use ruleset::sysctl::{Key, advice};
use ruleset::{Policy, Sysctl};
use snapshot::{Condition, Severity};
use std::time::Duration;
use sysio::{Monotonic, Root};

/// Files change when packages or people do; a look reads some dozen of them.
const PERIOD: Duration = Duration::from_secs(600);

/// Files that would switch forwarding off.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    next: Monotonic,
    words: Vec<String>,
}

impl Foresight {
    /// Looks, when it is time.
    pub(crate) fn turn(&mut self, now: Monotonic, root: &Root, policy: &Policy) {
        if now < self.next {
            return;
        }
        self.next = now + PERIOD;
        let (read, loaders) = (files::read_files(root), files::loaders(root));
        let told = |sysctl: &Sysctl| {
            let key = Key::parse(&sysctl.path).ok()?;
            let words = advice(&read, &key, Some(sysctl.value), sysctl.value, &loaders)?;
            Some(format!("{}: {words}", key.dotted()))
        };
        // Only what the house would feel: a distribution's taste in other settings is no news.
        let wanted = ruleset::sysctls(policy);
        self.words =
            wanted.iter().filter(|sysctl| forwards(&sysctl.path).is_some()).filter_map(told).collect();
    }

    /// Something was changed: perhaps files were, too.
    pub(crate) fn hurry(&mut self) {
        self.next = Monotonic::default();
    }

    pub(crate) fn condition(&self) -> Option<Condition> {
        let summary = "a file would switch forwarding off at the next reload of the kernel's settings";
        let condition =
            || Condition::new("sysctl-would-undo", Severity::Info, summary, self.words.join("; "));
        (!self.words.is_empty()).then(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_would_switch_forwarding_off_is_told_until_another_outdoes_it() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("usr/lib/systemd/systemd-sysctl", "");
        put("etc/sysctl.d/99-gce.conf", "net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.rp_filter = 1\n");
        let policy = Policy::standard("eth0".parse().unwrap());
        let root = Root::at(dir.path());
        let mut foresight = Foresight::default();
        foresight.turn(Monotonic::from_secs(1), &root, &policy);
        let detail = foresight.condition().unwrap().detail;
        assert!(
            detail.starts_with("net.ipv4.ip_forward: /etc/sysctl.d/99-gce.conf line 1: remove"),
            "{detail}"
        );
        assert!(!detail.contains("rp_filter"), "{detail}");
        put("etc/sysctl.d/99-zz-router.conf", "net.ipv4.ip_forward = 1\n");
        foresight.turn(Monotonic::from_secs(2), &root, &policy);
        assert!(foresight.condition().is_some(), "files are not read every second");
        foresight.hurry();
        foresight.turn(Monotonic::from_secs(3), &root, &policy);
        assert_eq!(foresight.condition(), None);
    }
}
