//! The files about drivers; hardware/drivers/README.md describes them for people.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::{Applies, Driven, Host, Release};

/// A file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drivers {
    /// The driver, as `ethtool -i` names it.
    pub driver: String,
    /// What is known against it.
    pub advisory: Vec<Advisory>,
}

/// Something known against a driver.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advisory {
    /// Its name within the file.
    pub id: Spanned<String>,
    /// Drivers with a version of their own are affected below this one.
    pub version_below: Option<Spanned<String>>,
    /// Kernels are affected from this one …
    pub kernel_from: Option<Spanned<String>>,
    /// … and below this one.
    pub kernel_below: Option<Spanned<String>>,
    /// Only on machines one of whose names has one of these in it; empty: on all.
    #[serde(default)]
    pub machine: Vec<String>,
    /// How it shows.
    pub symptom: String,
    /// What helps.
    pub cure: String,
    /// Where that is said.
    pub source: Spanned<Vec<String>>,
}

impl Drivers {
    pub(super) fn check(&self) -> Result<(), (Option<usize>, String)> {
        if self.driver.is_empty() || self.driver.len() > 31 {
            return Err((None, "driver: 1 to 31 characters, as ethtool names it".to_owned()));
        }
        let mut ids = BTreeSet::new();
        for advisory in &self.advisory {
            let id = advisory.id.get_ref();
            let at = Some(advisory.id.span().start);
            let word = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !word {
                return Err((at, format!("id {id:?}: letters, digits and hyphens")));
            }
            if !ids.insert(id) {
                return Err((at, format!("id {id:?} is there twice")));
            }
            advisory.check()?;
        }
        Ok(())
    }
}

impl Advisory {
    fn check(&self) -> Result<(), (Option<usize>, String)> {
        let versions = [
            ("version-below", &self.version_below),
            ("kernel-from", &self.kernel_from),
            ("kernel-below", &self.kernel_below),
        ];
        for (key, version) in versions {
            let Some(version) = version else { continue };
            if Release::parse(version.get_ref()).is_none() {
                let cause = format!("{key} {:?}: write numbers with dots, as 2.14.2", version.get_ref());
                return Err((Some(version.span().start), cause));
            }
        }
        let sources = self.source.get_ref();
        if sources.is_empty() || sources.iter().any(|s| !s.starts_with("https://")) {
            return Err((
                Some(self.source.span().start),
                "source: name at least one https:// page".to_owned(),
            ));
        }
        if self.symptom.is_empty() || self.cure.is_empty() {
            return Err((Some(self.id.span().start), "symptom and cure must say something".to_owned()));
        }
        Ok(())
    }

    /// Whether it is about this driver on this machine.
    pub fn applies(&self, driven: &Driven, host: &Host) -> Option<Applies> {
        let named = |part: &String| host.machine.iter().any(|name| name.contains(&part.to_lowercase()));
        if !self.machine.is_empty() && !self.machine.iter().any(named) {
            return None;
        }
        let release = |text: &Option<Spanned<String>>| Release::parse(text.as_ref()?.get_ref());
        let (below, from, until) =
            (release(&self.version_below), release(&self.kernel_from), release(&self.kernel_below));
        if below.is_none() && from.is_none() && until.is_none() {
            return Some(Applies::Possibly);
        }
        let own = driven.version.as_deref().and_then(Release::parse);
        let by_version = below.zip(own).is_some_and(|(below, own)| own < below);
        let kernel = Release::parse(&host.kernel).filter(|_| from.is_some() || until.is_some());
        // A driver built outside the kernel's tree is not the kernel's.
        let by_kernel = kernel.filter(|_| driven.version.is_none()).is_some_and(|kernel| {
            from.is_none_or(|from| kernel >= from) && until.is_none_or(|until| kernel < until)
        });
        (by_version || by_kernel).then_some(Applies::Yes)
    }
}
