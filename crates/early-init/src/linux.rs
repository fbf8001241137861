//! The real machine: system calls through nix and std.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::MsFlags;
use nix::sys::reboot::RebootMode;
use nix::time::ClockId;

use crate::boot::PAUSE;
use crate::ports::{Access, Machine, Mount};

/// First argument that makes early-init a helper: change root, become a program. A process may not do
/// more between fork and exec without unsafe code.
pub const IN_ROOT: &str = "--in-root";
/// The shell's exit status for a program that cannot be started.
pub const EXEC_FAILED: u8 = 127;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The console; opened anew for each line, so that a line is never lost in a buffer.
const CONSOLE: &str = "/dev/console";
/// What only the initramfs needs; removed so that it does not stay in memory for ever.
const LEFTOVERS: [&str; 2] = ["/usr", "/etc"];

/// The machine we run on.
#[derive(Debug, Default)]
pub struct Linux {}

impl Machine for Linux {
    fn mount(&mut self, mount: &Mount<'_>) -> io::Result<()> {
        let flags = match mount.access {
            Access::Write => MsFlags::empty(),
            Access::ReadOnly => MsFlags::MS_RDONLY,
            Access::Files => MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOATIME,
        };
        nix::mount::mount(Some(mount.source), mount.target, Some(mount.kind), flags, Some(mount.options))?;
        Ok(())
    }

    fn make_folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        if Path::new(path).is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(mode).create(path)
    }

    fn read(&mut self, path: &str) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn write(&mut self, path: &str, text: &str) -> io::Result<()> {
        fs::write(path, text)
    }

    fn list(&mut self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn read_device(&mut self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut file = File::open(device)?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }

    fn write_device(&mut self, device: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).open(device)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn load_module(&mut self, path: &str) -> io::Result<()> {
        match finit_module(File::open(path)?, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn run_in(&mut self, root: &str, program: &[&str], limit: Duration) -> io::Result<i32> {
        let mut child = Command::new("/proc/self/exe")
            .args([IN_ROOT, root])
            .args(program)
            .stdin(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return status.code().ok_or_else(|| {
                    io::Error::other(format!("killed by signal {}", status.signal().unwrap_or_default()))
                });
            }
            if Instant::now() >= deadline {
                // Not waited for: one that hangs in the kernel would hang us, too.
                child.kill()?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("not done after {} s", limit.as_secs()),
                ));
            }
            thread::sleep(POLL);
        }
    }

    fn say(&mut self, line: &str) {
        say(line);
    }

    fn uptime(&mut self) -> Duration {
        nix::time::clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }

    fn enter(&mut self, root: &str, program: &str) -> io::Error {
        match switch_root(root) {
            Err(error) => error,
            Ok(()) => Command::new(program).env_clear().env("PATH", "/usr/sbin:/usr/bin").exec(),
        }
    }

    fn reboot(&mut self) {
        reboot();
    }
}

/// Makes `root` the root folder, as `switch_root(8)` does: the initramfs itself cannot be unmounted.
fn switch_root(root: &str) -> io::Result<()> {
    for folder in LEFTOVERS {
        // What cannot be removed costs memory, nothing else.
        let _ = fs::remove_dir_all(folder);
    }
    std::env::set_current_dir(root)?;
    nix::mount::mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    nix::unistd::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Becomes a program of another root; returns why that failed.
pub fn exec_in_root(root: &str, program: &[String]) -> String {
    let [name, arguments @ ..] = program else { return format!("{IN_ROOT} {root}: no program given") };
    let error = nix::unistd::chroot(root)
        .map_err(io::Error::from)
        .and_then(|()| std::env::set_current_dir("/"))
        .map_or_else(|error| error, |()| Command::new(name).args(arguments).exec());
    format!("start {name} in {root}: {error}")
}

/// A panic of process 1 would stop the machine for good where the kernel has no `panic=`.
pub fn reboot_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        say(&format!("early-init: error: {info}"));
        say(&format!("early-init: rebooting in {} s", PAUSE.as_secs()));
        thread::sleep(PAUSE);
        reboot();
    }));
}

fn say(line: &str) {
    // One write a line. Standard error is the console the kernel opened for us.
    let text = format!("{line}\n");
    let console = File::options().write(true).open(CONSOLE);
    let _ = match console {
        Ok(mut console) => console.write_all(text.as_bytes()),
        Err(_) => io::stderr().write_all(text.as_bytes()),
    };
}

/// Reboots by reboot(2), and by the magic key when that is refused
/// (kernel Documentation/admin-guide/sysrq.rst: `b` reboots at once).
fn reboot() {
    nix::unistd::sync();
    let refused = nix::sys::reboot::reboot(RebootMode::RB_AUTOBOOT);
    say(&format!("early-init: error: reboot: {}", refused.unwrap_err()));
    let _ = fs::write("/proc/sysrq-trigger", "b");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_at_its_offset_and_a_short_one_is_an_error() {
        let path = std::env::temp_dir().join(format!("early-init-{}", std::process::id()));
        let name = path.to_str().unwrap().to_owned();
        let mut machine = Linux::default();
        machine.write(&name, "0123456789").unwrap();
        machine.write_device(&name, 4, b"xy").unwrap();
        let mut buffer = [0; 3];
        machine.read_device(&name, 3, &mut buffer).unwrap();
        assert_eq!(&buffer, b"3xy");
        let error = machine.read_device(&name, 8, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_program_that_cannot_start_is_named() {
        assert!(
            exec_in_root("/nowhere", &["/usr/sbin/e2fsck".to_owned()])
                .contains("/usr/sbin/e2fsck in /nowhere")
        );
        assert!(exec_in_root("/", &[]).contains("no program"));
    }
}
