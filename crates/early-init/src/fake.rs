//! A machine in memory for the tests: a card as bytes, files as a map, a clock that runs when one waits.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::mbr;
use crate::ports::{Machine, Mount};

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The call of this number, counted from 1.
    Call(u32),
    /// Loading this module.
    Module(&'static str),
    /// The data partition does not mount until this program with this first argument has run.
    DataBroken { mended_by: &'static str },
    /// The data partition never mounts, and e2fsck finds nothing wrong with it.
    DataUnmountable,
    /// The data partition mounts, and no folder can be made on it.
    FoldersBroken,
}

#[derive(Debug, Default)]
pub(crate) struct Fake {
    files: BTreeMap<String, String>,
    mounts: Vec<(String, String)>,
    broken_by_fault: bool,
    pub(crate) device: Vec<u8>,
    pub(crate) console: Vec<String>,
    pub(crate) ran: Vec<String>,
    pub(crate) entered: Option<String>,
    pub(crate) reboots: u32,
    pub(crate) now: Duration,
    pub(crate) appears_at: Duration,
    pub(crate) calls: u32,
    pub(crate) fault: Option<Fault>,
}

impl Fake {
    /// A fresh card of exactly the image's size as `/dev/vda`.
    pub(crate) fn card() -> Self {
        let mut machine = Self {
            device: mbr::tests::sector(mbr::SIGNATURE, mbr::tests::TABLE).to_vec(),
            ..Self::default()
        };
        for (path, text) in [
            ("/proc/cmdline", "console=ttyAMA0\n"),
            ("/etc/failberry/early-modules", "/m/sdhci.ko\n/m/ext4.ko\n"),
            ("/sys/class/block/loop0/size", "0\n"),
            ("/sys/class/block/vda/size", "532480\n"),
            ("/sys/class/block/vda/vda1/partition", "1\n"),
            ("/sys/class/block/vda/vda2/partition", "2\n"),
            ("/sys/class/block/vda/vda3/partition", "3\n"),
            ("/sys/class/block/vda/vda4/partition", "4\n"),
            ("/sys/class/block/vda1/partition", "1\n"),
            ("/sys/class/block/vda2/partition", "2\n"),
            ("/sys/class/block/vda3/partition", "3\n"),
            ("/sys/class/block/vda4/partition", "4\n"),
            ("/sys/class/block/vda4/size", "131072\n"),
        ] {
            machine.set_file(path, text);
        }
        machine
    }

    pub(crate) fn set_file(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), text.to_owned());
    }

    pub(crate) fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(crate) fn mounted(&self, target: &str) -> Option<&str> {
        self.mounts.iter().rev().find(|(t, _)| t == target).map(|(_, source)| source.as_str())
    }

    pub(crate) fn said(&self, part: &str) -> bool {
        self.console.iter().any(|line| line.contains(part))
    }

    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.fault {
            Some(Fault::Call(number)) if number == self.calls => Err(io::Error::other("injected fault")),
            _ => Ok(()),
        }
    }

    fn visible(&self, path: &str) -> io::Result<()> {
        let hidden = path.starts_with("/sys/class/block/vda") && self.now < self.appears_at;
        if hidden { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }
}

impl Machine for Fake {
    fn mount(&mut self, mount: &Mount<'_>) -> io::Result<()> {
        self.call()?;
        if matches!(self.fault, Some(Fault::DataBroken { .. }))
            && mount.kind == "ext4"
            && !self.broken_by_fault
        {
            return Err(io::Error::from_raw_os_error(117));
        }
        if matches!(self.fault, Some(Fault::DataUnmountable)) && mount.kind == "ext4" {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.mounts.push((mount.target.to_owned(), mount.source.to_owned()));
        Ok(())
    }

    fn make_folder(&mut self, path: &str, _mode: u32) -> io::Result<()> {
        self.call()?;
        let data = path.starts_with("/newroot/data") && self.mounted("/newroot/data") == Some("/dev/vda4");
        if data && matches!(self.fault, Some(Fault::FoldersBroken)) {
            return Err(io::Error::from_raw_os_error(117));
        }
        Ok(())
    }

    fn read(&mut self, path: &str) -> io::Result<String> {
        self.call()?;
        self.visible(path)?;
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, path: &str, text: &str) -> io::Result<()> {
        self.call()?;
        self.set_file(path, text);
        Ok(())
    }

    fn list(&mut self, path: &str) -> io::Result<Vec<String>> {
        self.call()?;
        let prefix = format!("{path}/");
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter(|file| self.visible(file).is_ok())
            .filter_map(|file| Some(file.strip_prefix(&prefix)?.split('/').next()?.to_owned()))
            .collect();
        names.dedup();
        Ok(names)
    }

    fn read_device(&mut self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.call()?;
        self.visible(&device.replace("/dev/", "/sys/class/block/"))?;
        match device {
            "/dev/vda" => buffer.copy_from_slice(&self.device[..buffer.len()]),
            // The superblock of a 64 MiB ext4: 16384 blocks of 4 KiB, magic.
            "/dev/vda4" if offset == 1024 => {
                buffer[4..8].copy_from_slice(&16384_u32.to_le_bytes());
                buffer[0x18] = 2;
                buffer[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
            }
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn write_device(&mut self, _device: &str, _offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.call()?;
        self.device = bytes.to_vec();
        Ok(())
    }

    fn load_module(&mut self, path: &str) -> io::Result<()> {
        self.call()?;
        match self.fault {
            Some(Fault::Module(module)) if module == path => Err(io::Error::from_raw_os_error(19)),
            _ => Ok(()),
        }
    }

    fn run_in(&mut self, _root: &str, program: &[&str], _limit: Duration) -> io::Result<i32> {
        self.call()?;
        let name = program[0].rsplit('/').next().unwrap_or_default();
        let short = format!("{name} {}", program[1]);
        let mended = matches!(self.fault, Some(Fault::DataBroken { mended_by }) if mended_by == short);
        self.broken_by_fault |= mended;
        // The kernel learns the partition's new size from partx, the file system from resize2fs.
        if name == "partx" {
            self.set_file("/sys/class/block/vda4/size", "1695744\n");
        }
        self.ran.push(short);
        Ok(if matches!(self.fault, Some(Fault::DataBroken { .. })) && !mended { 8 } else { 0 })
    }

    fn say(&mut self, line: &str) {
        self.console.push(line.to_owned());
    }

    fn uptime(&mut self) -> Duration {
        self.now
    }

    fn pause(&mut self, time: Duration) {
        self.now += time;
    }

    fn enter(&mut self, root: &str, program: &str) -> io::Error {
        if let Err(error) = self.call() {
            return error;
        }
        self.entered = Some(format!("{root} {program}"));
        // A real exec does not return, so that there is no reboot to count.
        io::Error::other("the fake machine runs systemd now")
    }

    fn reboot(&mut self) {
        if self.entered.is_none() {
            self.reboots += 1;
        }
    }
}
