//! Debian's part: resolve and unpack signed packages without running anything of the target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::copyright;
use crate::error::{Error, IoContext};
use crate::files;
use crate::hash::Key;
use crate::run::Runner;

/// Debian's release.
pub const SUITE: &str = "trixie";
/// The components with the packages and with the Pi's firmware.
const COMPONENTS: &str = "main non-free-firmware";
/// One try at downloading and unpacking; 20 s are usual, a slow line needs minutes.
const UNPACK_LIMIT: Duration = Duration::from_secs(900);
/// Listing one package's files.
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// Mirrors are sometimes in the middle of a sync.
const TRIES: u32 = 3;
/// A sync is seldom over sooner.
const PAUSE: Duration = Duration::from_secs(20);

/// One unpacked package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Short names of its licences, as its copyright file gives them.
    pub licences: Vec<String>,
}

/// What to unpack, and where packages come from.
#[derive(Debug)]
pub struct Inputs {
    /// Debian's name of the architecture.
    pub architecture: String,
    /// Packages wanted by the layers.
    pub packages: BTreeSet<String>,
    /// Dependencies left out again.
    pub without: BTreeSet<String>,
    /// Mirror of the release, or none for mmdebstrap's default.
    pub mirror: Option<String>,
    /// Mirror of its security updates.
    pub security_mirror: Option<String>,
    /// Where downloaded packages are kept.
    pub cache: PathBuf,
}

impl Inputs {
    /// Everything the result depends on, except the day: what the mirror offers then.
    pub fn key(&self) -> Key {
        let mut key = Key::new("debian");
        key.text(include_str!("debian.rs")).text(SUITE).text(&self.architecture);
        key.list(&self.packages).list(&self.without).list(&self.sources());
        key
    }

    fn sources(&self) -> Vec<String> {
        let line = |mirror: &Option<String>, suite: &str| {
            mirror.as_ref().map(|uri| format!("deb {uri} {suite} {COMPONENTS}"))
        };
        line(&self.mirror, SUITE)
            .into_iter()
            .chain(line(&self.security_mirror, &format!("{SUITE}-security")))
            .collect()
    }
}

/// Unpacks into `stage/root` and lists the packages in `stage/packages.json`.
///
/// # Errors
/// The mirror's, after several tries, or the file system's.
pub fn unpack(runner: &Runner, inputs: &Inputs, stage: &Path) -> Result<(), Error> {
    fs::create_dir_all(&inputs.cache).at("make", &inputs.cache)?;
    if inputs.mirror.is_some() && inputs.security_mirror.is_none() {
        eprintln!(
            "bake: warning: no mirror of the security updates is known: name one with FAILBERRY_SECURITY_MIRROR"
        );
    }
    let root = stage.join("root");
    let simulated = stage.join("simulated");
    for left in (0..TRIES).rev() {
        files::remove_any(&root)?;
        let mut command = mmdebstrap(inputs, &root, &simulated);
        match runner.command("debian", UNPACK_LIMIT, &mut command) {
            Ok(()) => break,
            Err(error) if left == 0 => return Err(explain(error)),
            Err(_) => {
                eprintln!("bake: unpacking Debian failed, trying again in {} s", PAUSE.as_secs());
                thread::sleep(PAUSE);
            }
        }
    }
    let mut packages = parse_simulated(&files::read(&simulated)?);
    for package in &mut packages {
        package.licences = copyright::licences_of(&root, &package.name);
    }
    let (left_out, kept): (Vec<_>, Vec<_>) = packages
        .into_iter()
        .partition(|p| inputs.without.contains(&p.name) && !inputs.packages.contains(&p.name));
    for package in left_out {
        leave_out(runner, inputs, &root, &package)?;
    }
    let json = serde_json::to_vec_pretty(&kept).map_err(|e| Error::Invalid(format!("list packages: {e}")))?;
    files::write(&stage.join("packages.json"), &json, 0o644)
}

/// Reads the list [`unpack`] wrote.
///
/// # Errors
/// The list cannot be read.
pub fn packages(stage: &Path) -> Result<Vec<Package>, Error> {
    let path = stage.join("packages.json");
    serde_json::from_str(&files::read(&path)?)
        .map_err(|e| Error::Invalid(format!("read {}: {e}", path.display())))
}

fn mmdebstrap(inputs: &Inputs, root: &Path, simulated: &Path) -> Command {
    let include: Vec<&str> = inputs.packages.iter().map(String::as_str).collect();
    let cache = inputs.cache.display();
    let mut command = Command::new("mmdebstrap");
    command
        .arg(format!("--architectures={}", inputs.architecture))
        .arg("--variant=extract")
        .arg(format!("--components={}", COMPONENTS.replace(' ', ",")))
        .arg(format!("--include={}", include.join(",")))
        .args(
            ["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
                .map(|path| format!("--dpkgopt=path-exclude={path}")),
        )
        .arg("--aptopt=Acquire::Retries \"3\"")
        // Packages downloaded before are put where apt finds them; apt checks their hashes again.
        .arg("--skip=download/empty")
        .arg(format!(
            "--setup-hook=mkdir -p \"$1/var/cache/apt/archives\"; \
             find '{cache}' -name '*.deb' -exec cp -t \"$1/var/cache/apt/archives\" {{}} +"
        ))
        .arg(format!(
            "--extract-hook=cp -n \"$1\"/var/cache/apt/archives/*.deb '{cache}/'; \
             APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --simulate install {} >'{}'",
            include.join(" "),
            simulated.display()
        ))
        .arg(SUITE)
        .arg(root)
        .args(inputs.sources());
    command
}

fn explain(error: Error) -> Error {
    const SYNC: [&str; 3] = ["Mirror sync in progress", "unexpected size", "Hash Sum mismatch"];
    match error {
        Error::Command { step, cause, tail, log } if SYNC.iter().any(|sign| tail.contains(sign)) => {
            Error::Command {
                step,
                cause: format!(
                    "{cause}; the Debian mirror is in the middle of a sync: wait, or name another with \
                 FAILBERRY_MIRROR and FAILBERRY_SECURITY_MIRROR"
                ),
                tail,
                log,
            }
        }
        other => other,
    }
}

// `Inst libc6 (2.41-12 Debian:13/stable [arm64])`, the name with `:arm64` for a foreign one.
fn parse_simulated(text: &str) -> Vec<Package> {
    let mut packages: Vec<Package> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| {
            let (name, rest) = line.split_once(" (")?;
            let name = name.split(':').next()?.to_owned();
            let version = rest.split(' ').next()?.to_owned();
            Some(Package { name, version, licences: Vec::new() })
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

fn leave_out(runner: &Runner, inputs: &Inputs, root: &Path, package: &Package) -> Result<(), Error> {
    // apt writes a version's colon as %3a in file names.
    let version = package.version.replace(':', "%3a");
    let deb = [inputs.architecture.as_str(), "all"]
        .map(|arch| inputs.cache.join(format!("{}_{version}_{arch}.deb", package.name)))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::Invalid(format!("leave out {}: its package file is not cached", package.name))
        })?;
    let list = root.with_file_name("contents");
    let mut command = Command::new("sh");
    command.args(["-c", "dpkg-deb --fsys-tarfile \"$0\" | tar -t"]).arg(&deb);
    runner.command_to("contents", LIST_LIMIT, &mut command, &list)?;
    let mut folders = Vec::new();
    for line in files::read(&list)?.lines() {
        let path = root.join(line.trim_start_matches("./"));
        if line.ends_with('/') {
            folders.push(path);
        } else {
            files::remove_any(&path)?;
        }
    }
    // Deepest first; folders that others use as well are not empty and stay.
    for folder in folders.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_versions_from_a_simulated_installation() {
        let text = "Reading package lists...\nInst b:arm64 (1:2.0-1 Debian:13/stable [arm64])\n\
                    Inst a (3 Debian:13.1/stable, Debian-Security:13/stable [all]) []\nConf a (3 x [all])\n";
        let found: Vec<_> = parse_simulated(text).into_iter().map(|p| (p.name, p.version)).collect();
        assert_eq!(found, [("a".into(), "3".into()), ("b".into(), "1:2.0-1".into())]);
    }

    #[test]
    fn a_mirror_in_mid_sync_is_called_that() {
        let error = Error::Command {
            step: "debian".into(),
            cause: "exit status: 25".into(),
            tail: "E: File has unexpected size (1 != 2). Mirror sync in progress?".into(),
            log: "/l".into(),
        };
        assert!(explain(error).to_string().contains("FAILBERRY_MIRROR"));
    }

    #[test]
    fn without_a_mirror_the_tools_default_is_used() {
        let inputs = Inputs {
            architecture: "arm64".into(),
            packages: BTreeSet::new(),
            without: BTreeSet::new(),
            mirror: None,
            security_mirror: None,
            cache: PathBuf::new(),
        };
        assert!(inputs.sources().is_empty());
    }
}
