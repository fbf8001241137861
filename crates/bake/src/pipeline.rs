//! A bake from layers to card: each stage cached by the hash of what it is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::debian::{self, Package};
use crate::error::{Error, IoContext};
use crate::hash::{Key, sha256_file};
use crate::layer::{Layer, Machine, load_layers, load_machine};
use crate::manifest::Manifest;
use crate::overlay::{self, Plan};
use crate::programs::{self, Programs};
use crate::resolve::resolve;
use crate::run::Runner;
use crate::stage::{Stages, remove_tree};
use crate::{VERSION, base, bmap, card, files, initramfs, kernel, slot, uboot};

/// Steps a bake counts: Debian, base, programs, U-Boot, slot, card, compression.
const STEPS: usize = 7;
/// Compressing 260 MB, most of it zeros or compressed already.
const XZ_LIMIT: Duration = Duration::from_secs(600);
/// The slot's content hardly compresses any further: a higher preset only takes longer.
const XZ_PRESET: &str = "-3";

/// What to bake.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The machine's name.
    pub machine: String,
    /// Layers beside the default ones.
    pub with: Vec<String>,
    /// Default layers to leave out.
    pub without: Vec<String>,
    /// Leave the image uncompressed: for the lab.
    pub no_xz: bool,
}

/// Where a bake works.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The repository.
    pub top: PathBuf,
    /// What outlives `build/`: downloads.
    pub cache: PathBuf,
    /// Time stamp of everything made, seconds since 1970.
    pub epoch: u64,
    /// Mirror of the release, or none for the tool's default.
    pub mirror: Option<String>,
    /// Mirror of its security updates.
    pub security_mirror: Option<String>,
}

struct Bake<'a> {
    env: &'a Environment,
    machine: Machine,
    layers: Vec<Layer>,
    runner: Runner,
    stages: Stages,
}

/// Bakes an image and returns its path in `build/deploy`.
///
/// # Errors
/// The failing stage's.
pub fn bake(env: &Environment, options: &Options) -> Result<PathBuf, Error> {
    let all = load_layers(&env.top)?;
    let machine = load_machine(&env.top, &options.machine)?;
    let layers = resolve(&all, &machine.name, &options.with, &options.without)?;
    let work = env.top.join("build/bake").join(&machine.name);
    fs::create_dir_all(&work).at("make", &work)?;
    let _lock = lock(&work.join("lock"))?;
    let steps = if options.no_xz { STEPS - 1 } else { STEPS };
    let bake = Bake {
        env,
        runner: Runner::new(env.top.join("build/log").join(&machine.name), steps)?,
        stages: Stages::new(work)?,
        machine,
        layers,
    };
    let names: Vec<&str> = bake.layers.iter().map(|l| l.name.as_str()).collect();
    eprintln!("bake: {} from layers {}", bake.machine.name, names.join(" "));
    let image = bake.run(options)?;
    eprintln!("bake: {} in {:.1} s", image.display(), bake.runner.seconds());
    Ok(image)
}

impl Bake<'_> {
    fn run(&self, options: &Options) -> Result<PathBuf, Error> {
        let unpacked = self.debian()?;
        let base = self.base(&unpacked)?;
        let programs = self.runner.step("build our programs", || {
            programs::build(&self.runner, &self.env.top, &self.machine, &self.layers)
        })?;
        let uboot = self.uboot()?;
        let slot = self.slot(&base, &programs)?;
        let card = self.card(&base, &slot, &uboot)?;
        self.deploy(&unpacked, &slot, &card, options)
    }

    fn debian(&self) -> Result<PathBuf, Error> {
        let union = |list: fn(&Layer) -> &Vec<String>| -> BTreeSet<String> {
            self.layers.iter().flat_map(|l| list(l).iter().cloned()).collect()
        };
        let inputs = debian::Inputs {
            architecture: self.machine.architecture.clone(),
            packages: union(|l| &l.packages),
            without: union(|l| &l.without_packages),
            mirror: self.env.mirror.clone(),
            security_mirror: self.env.security_mirror.clone(),
            cache: self.env.cache.join("debs"),
        };
        self.stages.get(&self.runner, "debian", "unpack Debian packages", &inputs.key(), |stage| {
            debian::unpack(&self.runner, &inputs, stage)
        })
    }

    fn base(&self, unpacked: &Path) -> Result<PathBuf, Error> {
        let key = base::key(unpacked, &self.machine, &self.layers);
        self.stages.get(&self.runner, "base", "configure and trim the base", &key, |stage| {
            base::make(&self.runner, unpacked, stage, &self.machine, &self.layers)
        })
    }

    fn uboot(&self) -> Result<uboot::Artifacts, Error> {
        self.runner.step("build U-Boot", || {
            uboot::build(&uboot::Inputs {
                source: self.env.top.join("image/u-boot"),
                cache: self.env.cache.clone(),
                mirror: self.env.mirror.clone(),
            })
            .map_err(|e| Error::Invalid(format!("build U-Boot: {e}")))
        })
    }

    fn slot(&self, base: &Path, programs: &Programs) -> Result<PathBuf, Error> {
        let plan = overlay::plan(&self.env.top, &programs.folder, &self.layers)?;
        let early: Vec<String> =
            self.layers.iter().flat_map(|l| l.initramfs_modules.iter().cloned()).collect();
        let mut key = Key::new("slot");
        for recipe in [
            include_str!("pipeline.rs"),
            include_str!("base.rs"),
            include_str!("overlay.rs"),
            include_str!("initramfs.rs"),
            include_str!("slot.rs"),
        ] {
            key.text(recipe);
        }
        key.text(&base.display().to_string()).text(&self.env.epoch.to_string()).list(&early);
        key.tree(&programs.early_init)?;
        for (path, entry) in &plan {
            key.text(path).tree(&entry.source)?;
        }
        for layer in &self.layers {
            key.list(&layer.enable).list(&layer.mask);
        }
        self.stages.get(&self.runner, "slot", "put the slot together", &key, |stage| {
            self.make_slot(base, programs, &plan, &early, stage)
        })
    }

    fn make_slot(
        &self,
        base: &Path,
        programs: &Programs,
        plan: &Plan,
        early: &[String],
        stage: &Path,
    ) -> Result<(), Error> {
        let root = stage.join("root");
        base::copy_tree(&self.runner, &base.join("root"), &root)?;
        overlay::apply(&root, plan)?;
        base::configure(&self.runner, &root, &self.layers, self.env.epoch)?;
        let image = initramfs::assemble(&initramfs::Inputs {
            root: root.clone(),
            release: kernel::version(&root)?,
            early_init: programs.early_init.clone(),
            modules: early.to_vec(),
            epoch: u32::try_from(self.env.epoch)
                .map_err(|e| Error::Invalid(format!("SOURCE_DATE_EPOCH: {e}")))?,
            output: stage.join("initramfs.img"),
        })
        .map_err(|e| Error::Invalid(format!("assemble the initramfs: {e}")))?;
        files::install(&image, &root.join("boot/initramfs.img"), 0o644)?;
        for (name, from) in [("vmlinuz", "boot/vmlinuz"), ("initramfs.img", "boot/initramfs.img")] {
            files::install(&root.join(from), &stage.join(name), 0o644)?;
        }
        files::write(&stage.join("kernel-version"), kernel::version(&root)?.as_bytes(), 0o644)?;
        slot::pack(&self.runner, &root, &stage.join("slot.squashfs"), self.env.epoch)?;
        remove_tree(&root)
    }

    fn card(&self, base: &Path, slot: &Path, uboot: &uboot::Artifacts) -> Result<PathBuf, Error> {
        let name_of = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let firmware = base.join("firmware");
        let from_packages = self.machine.firmware.iter().map(|file| firmware.join(name_of(Path::new(file))));
        let mut boot_files: BTreeMap<String, PathBuf> = [uboot.binary.clone(), uboot.script.clone()]
            .into_iter()
            .chain(from_packages)
            // The firmware hands U-Boot one of these; the kernel gets the slot's.
            .chain(self.machine.dtbs.iter().map(|file| base.join("root/boot/dtbs").join(file)))
            .map(|path| (name_of(&path), path))
            .collect();
        let own = self.machine.boot_files.iter();
        boot_files.extend(own.map(|(name, source)| (name.clone(), self.env.top.join(source))));
        let mut key = Key::new("card");
        key.text(include_str!("card.rs")).text(&slot.display().to_string()).text(&self.env.epoch.to_string());
        key.tree(&self.env.top.join("image/card.cfg"))?;
        for (name, file) in &boot_files {
            key.text(name).tree(file)?;
        }
        self.stages.get(&self.runner, "card", "put the card's image together", &key, |stage| {
            let inputs = card::Inputs {
                top: &self.env.top,
                slot: &slot.join("slot.squashfs"),
                boot_files: &boot_files,
                epoch: self.env.epoch,
            };
            let image = card::make(&self.runner, &inputs, stage)?;
            files::write(&stage.join("card.bmap"), bmap::make(&image)?.as_bytes(), 0o644)
        })
    }

    fn deploy(&self, unpacked: &Path, slot: &Path, card: &Path, options: &Options) -> Result<PathBuf, Error> {
        let folder = self.env.top.join("build/deploy").join(&self.machine.name);
        fs::create_dir_all(&folder).at("make", &folder)?;
        let name = format!("failberry-{VERSION}-{}", self.machine.name);
        let place = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        let image = place("img");
        replace_by_link(&card.join("card.img"), &image)?;
        replace_by_link(&card.join("card.bmap"), &place("bmap"))?;
        let mut made = vec![image.clone()];
        let compressed = place("img.xz");
        if options.no_xz {
            files::remove_any(&compressed)?;
        } else {
            self.compress(&card.join("card.img"), &card.join("card.img.xz"))?;
            replace_by_link(&card.join("card.img.xz"), &compressed)?;
            made.push(compressed);
        }
        let mut sums = String::new();
        for file in &made {
            sums.push_str(&format!(
                "{}  {}\n",
                sha256_file(file)?,
                file.file_name().unwrap_or_default().display()
            ));
        }
        files::write(&place("sha256"), sums.as_bytes(), 0o644)?;
        let packages = debian::packages(unpacked)?;
        let manifest = self.manifest(&packages, slot, &made)?;
        files::write(&place("manifest.json"), manifest.as_bytes(), 0o644)?;
        Ok(made.pop().unwrap_or(image))
    }

    fn compress(&self, image: &Path, compressed: &Path) -> Result<(), Error> {
        if compressed.is_file() {
            self.runner.cached("compress the image");
            return Ok(());
        }
        let partial = compressed.with_extension("xz.new");
        self.runner.step("compress the image", || {
            let mut xz = Command::new("xz");
            // Two threads always: the number of blocks, and with it the bytes, must not depend on the builder.
            xz.args([XZ_PRESET, "-T2", "-c"]).arg(image);
            self.runner.command_to("xz", XZ_LIMIT, &mut xz, &partial)?;
            fs::rename(&partial, compressed).at("rename", &partial)
        })
    }

    fn manifest(&self, packages: &[Package], slot: &Path, made: &[PathBuf]) -> Result<String, Error> {
        let mut sizes = BTreeMap::new();
        for (what, file) in [("slot", "slot.squashfs"), ("kernel", "vmlinuz"), ("initramfs", "initramfs.img")]
        {
            sizes.insert(what, files::size(&slot.join(file))?);
        }
        for (what, file) in ["image", "download"].into_iter().zip(made) {
            sizes.insert(what, files::size(file)?);
        }
        for (what, bytes) in &sizes {
            eprintln!("bake: {what:>9}: {:6.1} MiB", megabytes(*bytes));
        }
        let kernel = files::read(&slot.join("kernel-version"))?;
        Manifest::new(&self.machine, &self.layers, packages, &sizes, &kernel, self.env.epoch).to_json()
    }
}

// For people's eyes only; the manifest has the bytes.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

// By rename, so that a guest that still runs from the old image keeps it whole.
fn replace_by_link(from: &Path, to: &Path) -> Result<(), Error> {
    let new = to.with_extension("new");
    files::remove_any(&new)?;
    fs::hard_link(from, &new).at("link", &new)?;
    fs::rename(&new, to).at("rename", &new)
}

fn lock(path: &Path) -> Result<Flock<fs::File>, Error> {
    let file = fs::File::create(path).at("create", path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
            eprintln!("bake: another bake of this machine is running, waiting for it");
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e.into()).at("lock", path)
        }
        Err((_, e)) => Err(std::io::Error::from(e)).at("lock", path),
    }
}
