//! Cross-builds our daemons and early-init; cargo itself knows what has changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, IoContext};
use crate::layer::{Layer, Machine};
use crate::run::Runner;

/// All daemons with link-time optimisation on a slow machine.
const LIMIT: Duration = Duration::from_secs(1800);

/// Where the built programs are.
#[derive(Debug)]
pub struct Programs {
    /// Folder with daemons and commands.
    pub folder: PathBuf,
    /// The static init of the initramfs.
    pub early_init: PathBuf,
}

/// Builds every program the layers name.
///
/// # Errors
/// A crate that does not exist, or cargo's.
pub fn build(runner: &Runner, top: &Path, machine: &Machine, layers: &[Layer]) -> Result<Programs, Error> {
    let names = names(top, layers)?;
    let output = |flavour: &str| top.join("build/cargo").join(flavour);
    let folder = |flavour: &str| output(flavour).join(&machine.rust_target).join("release");
    if !names.is_empty() {
        let mut command = cargo(top, machine, &output("daemons"), "");
        for name in &names {
            command.args(["-p", name]);
        }
        runner.command("cargo-daemons", LIMIT, &mut command)?;
    }
    // Static: the initramfs has no libraries.
    let mut command = cargo(top, machine, &output("static"), " -C target-feature=+crt-static");
    runner.command("cargo-early-init", LIMIT, command.args(["-p", "early-init"]))?;
    let programs = Programs { folder: folder("daemons"), early_init: folder("static").join("early-init") };
    for path in names.iter().map(|name| programs.folder.join(name)).chain([programs.early_init.clone()]) {
        path.metadata().at("find the program cargo built", &path)?;
    }
    Ok(programs)
}

fn names(top: &Path, layers: &[Layer]) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for layer in layers {
        for name in layer.binaries.iter().chain(&layer.commands) {
            if !top.join("crates").join(name).join("Cargo.toml").is_file() {
                return Err(Error::Invalid(format!(
                    "layer {}: build {name}: there is no crates/{name}; leave the layer out with --without {}",
                    layer.name, layer.name
                )));
            }
            names.push(name.clone());
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn cargo(top: &Path, machine: &Machine, target_dir: &Path, flags: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["build", "--release", "--locked", "--target", &machine.rust_target, "--target-dir"])
        .arg(target_dir)
        .current_dir(top);
    // The builder's folders must not end up in panic messages: same inputs, same bytes, anywhere.
    let mut all = format!("--remap-path-prefix={}=/failberry{flags}", top.display());
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        let _ = write!(all, " --remap-path-prefix={}=/cargo", Path::new(&home).display());
    }
    command.env("RUSTFLAGS", all);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_crate_is_named_with_its_layer_and_the_way_out() {
        let top = tempfile::tempdir().unwrap();
        let layer = Layer { name: "modem".into(), binaries: vec!["modem-dialer".into()], ..Layer::default() };
        let message = names(top.path(), &[layer]).unwrap_err().to_string();
        assert!(message.contains("crates/modem-dialer") && message.contains("--without modem"), "{message}");
    }
}
