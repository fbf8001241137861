//! A bake from layers to card: each stage cached by the hash of what it is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::debian;
use crate::error::{Error, IoContext};
use crate::hash::Key;
use crate::layer::{Layer, Machine, load_layers, load_machine};
use crate::overlay::{self, Plan};
use crate::programs::{self, Programs};
use crate::resolve::resolve;
use crate::run::Runner;
use crate::stage::{Stages, remove_tree};
use crate::{base, bmap, card, deploy, files, initramfs, kernel, slot, uboot};

/// Steps a bake counts: Debian, base, programs, U-Boot, slot, card, compression.
const STEPS: usize = 7;

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
    /// Folder in `build/deploy` when it is not the machine's own.
    pub name: Option<String>,
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
        deploy::deploy(
            &self.runner,
            &deploy::Inputs {
                top: &self.env.top,
                folder: options.name.as_deref().unwrap_or(&self.machine.name),
                machine: &self.machine,
                layers: &self.layers,
                unpacked: &unpacked,
                slot: &slot,
                card: &card,
                epoch: self.env.epoch,
                compress: !options.no_xz,
            },
        )
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
        key.text(include_str!("card.rs"))
            .text(include_str!("bmap.rs"))
            .text(&slot.display().to_string())
            .text(&self.env.epoch.to_string());
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
