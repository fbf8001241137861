//! Read, plan, apply: only the difference, and back again when it goes wrong half way.

mod rules;

use rules::Rules;
pub(crate) use rules::name as family_name;

use crate::machine::{Finding, Findings};
use crate::sysctl::{NOT_TOUCHED, forwards, respected};
use ruleset::{Family, Policy, Sysctl, sysctls};
use std::collections::BTreeMap;
use std::io;

/// The packet filter of one network namespace.
pub trait Firewall {
    /// Why it did not obey.
    type Error: std::error::Error;

    /// A number that changes whenever any rule does; none if that cannot be told.
    fn generation(&self) -> Option<u32>;

    /// Everything that is loaded, as `iptables-save` prints it.
    ///
    /// # Errors
    /// If it cannot be read.
    fn save(&mut self, family: Family) -> Result<String, Self::Error>;

    /// Loads `input`, or only checks it, without touching chains it does not name.
    ///
    /// # Errors
    /// If it is refused.
    fn restore(&mut self, family: Family, input: &str, only_test: bool) -> Result<(), Self::Error>;

    /// What the other back end of the kernel holds; none where it has no tables. Its rules are asked
    /// beside ours, and a packet must pass both.
    ///
    /// # Errors
    /// If it cannot be read.
    fn save_other(&mut self, _family: Family) -> Result<Option<String>, Self::Error> {
        Ok(None)
    }

    /// [`Firewall::restore`] for the other back end.
    ///
    /// # Errors
    /// If it is refused.
    fn restore_other(&mut self, _family: Family, _input: &str) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The kernel's settings below `/proc/sys`.
pub trait Settings {
    /// Reads one, without the line feed.
    ///
    /// # Errors
    /// What the system said.
    fn read(&self, path: &str) -> io::Result<String>;

    /// Writes one.
    ///
    /// # Errors
    /// What the system said.
    fn write(&mut self, path: &str, value: &str) -> io::Result<()>;
}

/// Makes the system what the policy wants.
#[derive(Debug)]
pub struct Driver<F, S> {
    /// The packet filter.
    pub firewall: F,
    /// The settings.
    pub settings: S,
    /// What is known about the rules.
    rules: Rules,
}

impl<F, S> Driver<F, S> {
    /// Knows nothing yet.
    pub fn new(firewall: F, settings: S) -> Self {
        Self { firewall, settings, rules: Rules::default() }
    }
}

impl<F: Firewall, S: Settings> Driver<F, S> {
    /// Looks at everything and puts right what differs. Rules come before forwarding is switched on.
    pub fn check(&mut self, policy: &Policy) -> Findings {
        let mut findings = self.look_at_firewall(policy);
        for sysctl in sysctls(policy) {
            let guard = forwards(&sysctl.path);
            let open = guard.is_some_and(|family| matches!(findings.firewall[&family].0, Finding::Failed(_)));
            let finding = if open { Finding::Failed(NOT_TOUCHED.to_owned()) } else { self.setting(&sysctl) };
            findings.settings.insert(sysctl.path, finding);
        }
        findings
    }

    /// Looks at the packet filter and puts right what differs.
    pub fn check_firewall(&mut self, policy: &Policy) -> BTreeMap<Family, (Finding, usize)> {
        self.look_at_firewall(policy).firewall
    }

    fn setting(&mut self, sysctl: &Sysctl) -> Finding {
        let path = &sysctl.path;
        let value = match self.settings.read(path) {
            Ok(value) => value,
            // The interface is not there yet, or the kernel has no IPv6.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Finding::Absent,
            Err(e) => return Finding::Failed(format!("read {path}: {e}")),
        };
        if value == sysctl.value || respected(sysctl, &value) {
            return Finding::Same;
        }
        match self.settings.write(path, sysctl.value) {
            Ok(()) => Finding::Changed,
            Err(e) => Finding::Failed(format!("set {path} from {value} to {}: {e}", sysctl.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruleset::Ruleset;

    /// A kernel that lacks address translation: `nat` is refused when it is loaded, not when it is checked.
    #[derive(Default)]
    struct WithoutNat {
        tables: BTreeMap<(Family, String), String>,
        refuses: bool,
        /// Nothing is wrong with IPv4.
        v6_only: bool,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("iptables-restore: no chain/target/match by that name")]
    struct Refused;

    impl Firewall for WithoutNat {
        type Error = Refused;

        fn generation(&self) -> Option<u32> {
            None
        }

        fn save(&mut self, family: Family) -> Result<String, Refused> {
            Ok(self.tables.iter().filter(|((f, _), _)| *f == family).map(|(_, text)| text.as_str()).collect())
        }

        /// Each table is a transaction, in order (iptables-restore 1.8.9 and 1.8.11).
        fn restore(&mut self, family: Family, input: &str, only_test: bool) -> Result<(), Refused> {
            if only_test {
                return Ok(());
            }
            for table in input.split_inclusive("COMMIT\n") {
                let name = table.lines().next().unwrap_or_default().to_owned();
                if self.refuses && name == "*nat" && !(self.v6_only && family == Family::V4) {
                    return Err(Refused);
                }
                // Whole tables only, as `plan` writes them; chains it removes are gone.
                let gone: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("-X ")).collect();
                let stays = |line: &&str| {
                    let about = line.split([' ', ':']).find(|word| word.starts_with("FB-"));
                    !about.is_some_and(|chain| gone.contains(&chain))
                };
                let left: Vec<_> = table.lines().filter(stays).collect();
                self.tables.insert((family, name), left.join("\n") + "\n");
            }
            Ok(())
        }
    }

    struct ReadOnly;

    impl Settings for ReadOnly {
        fn read(&self, path: &str) -> io::Result<String> {
            if path.contains("eth0") { Err(io::ErrorKind::NotFound.into()) } else { Ok("0".to_owned()) }
        }

        fn write(&mut self, _: &str, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
    }

    fn policy(port: u16) -> Policy {
        let mut policy = Policy::standard("eth0".parse().unwrap());
        policy.open_ports[0].port = port;
        policy
    }

    #[test]
    fn denying_by_default_stays_when_the_rest_of_the_first_load_fails() {
        let firewall = WithoutNat { refuses: true, ..WithoutNat::default() };
        let mut driver = Driver::new(firewall, ReadOnly);
        let findings = driver.check(&policy(9000));
        let (Finding::Failed(why), _) = &findings.firewall[&Family::V4] else { panic!("{findings:?}") };
        assert!(why.starts_with("load the rules: iptables-restore:"), "{why}");
        for path in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            let Finding::Failed(why) = &findings.settings[path] else { panic!("{findings:?}") };
            assert_eq!(why, "not touched: the packet filter is not in place");
        }
        let kept = driver.firewall.save(Family::V4).unwrap();
        assert!(kept.contains("-A FB-INPUT -j DROP") && kept.contains("-A INPUT -j FB-INPUT"), "{kept}");
    }

    #[test]
    fn a_complete_older_set_is_brought_back_when_a_new_one_fails_half_way() {
        let mut driver = Driver::new(WithoutNat::default(), ReadOnly);
        driver.check(&policy(9000));
        let before = driver.loaded_now(Family::V4).unwrap();
        driver.firewall.refuses = true;
        let gateway = Policy { wired_uplink: true, ..policy(9001) };
        let findings = driver.check(&gateway);
        let (Finding::Failed(why), _) = &findings.firewall[&Family::V4] else { panic!("{findings:?}") };
        assert!(why.ends_with("; rolled back"), "{why}");
        let filter = |rules: &Ruleset| rules.tables["filter"].chains.clone();
        assert_eq!(filter(&driver.loaded_now(Family::V4).unwrap()), filter(&before));
    }

    #[test]
    fn what_one_family_refuses_the_other_does_not_get_either() {
        let mut driver = Driver::new(WithoutNat::default(), ReadOnly);
        driver.check(&policy(9000));
        let before = driver.loaded_now(Family::V4).unwrap();
        driver.firewall.refuses = true;
        driver.firewall.v6_only = true;
        let gateway = Policy { wired_uplink: true, ..policy(9001) };
        let findings = driver.check(&gateway);
        let (Finding::Failed(why), _) = &findings.firewall[&Family::V4] else { panic!("{findings:?}") };
        assert_eq!(
            why,
            "kept as it was: the IPv6 rules were refused, and both families change together; rolled back"
        );
        assert_eq!(driver.loaded_now(Family::V4).unwrap(), before);
        // Damage to what is in force is put right all the same.
        driver.check(&policy(9000));
        driver.firewall.tables.remove(&(Family::V4, "*filter".to_owned()));
        let findings = driver.look_at_firewall(&policy(9000));
        assert_eq!(findings.firewall[&Family::V4].0, Finding::Changed);
        assert!(findings.changes[0].starts_with("removed everything in table filter, IPv4"), "{findings:?}");
        assert_eq!(driver.loaded_now(Family::V4).unwrap(), before);
    }

    #[test]
    fn a_read_only_proc_is_named_and_a_missing_interface_is_fine() {
        let mut driver = Driver::new(WithoutNat::default(), ReadOnly);
        let findings = driver.check(&policy(9000));
        let Finding::Failed(why) = &findings.settings["net/ipv4/ip_forward"] else { panic!("{findings:?}") };
        assert_eq!(why, "set net/ipv4/ip_forward from 0 to 1: read-only filesystem or storage medium");
        assert_eq!(findings.settings["net/ipv6/conf/eth0/accept_ra"], Finding::Absent);
        assert_eq!(findings.settings["net/ipv4/conf/all/accept_redirects"], Finding::Same);
    }
}
