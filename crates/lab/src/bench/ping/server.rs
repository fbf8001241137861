//! Whom is asked: our daemon, nginx, or a thread for each connection, each in a network of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testnet::Namespace;

use super::super::cost;
use super::PORT;
use crate::error::{Context, Error, Result};
use crate::process::Keep;

/// Every one of them listens by then.
const READY: Duration = Duration::from_secs(10);
/// How long it has to end by itself.
const END: Duration = Duration::from_secs(5);

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// `pinghttpserver`.
    Ours,
    /// Debian's nginx: its own number of workers and connections, no log of requests.
    Nginx,
    /// `threads.c`.
    Threads,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Our daemon.
    pub ours: PathBuf,
    /// nginx, where the SDK has it.
    pub nginx: Option<PathBuf>,
    /// `threads.c`, where it could be compiled.
    pub threads: Option<PathBuf>,
}

/// A server that runs as long as this lives.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) who: Who,
    pub(super) net: Namespace,
    process: Keep,
}

impl Server {
    /// Starts it; nothing where there is no such program.
    pub(super) fn start(who: Who, programs: &Programs, folder: &Path) -> Result<Option<Self>> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder.join("run/failberry")).context(format!("make {}", folder.display()))?;
        std::os::unix::fs::symlink("/proc", folder.join("proc")).context("link proc")?;
        let program = match who {
            Who::Ours => Some(&programs.ours),
            Who::Nginx => programs.nginx.as_ref(),
            Who::Threads => programs.threads.as_ref(),
        };
        let Some(program) = program else { return Ok(None) };
        let mut command = match who {
            Who::Ours => limited(program, folder),
            Who::Nginx => nginx(program, folder)?,
            Who::Threads => {
                let mut command = Command::new(program);
                command.arg(PORT.to_string());
                command
            }
        };
        let log = fs::File::create(folder.join("log")).context("create the log")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let net = Namespace::new();
        let process = net.run(move || Keep::new(&mut command))?;
        let server = Self { who, net, process };
        server.wait()?;
        Ok(Some(server))
    }

    fn wait(&self) -> Result<()> {
        let begun = Instant::now();
        while self.net.run(|| TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).is_err()) {
            if begun.elapsed() > READY {
                return Err(Error::Unexpected(format!("{:?} does not listen on port {PORT}", self.who)));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its processes: nginx's workers are children.
    fn processes(&self) -> Vec<u32> {
        let id = self.process.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        std::iter::once(id).chain(children.split_whitespace().filter_map(|word| word.parse().ok())).collect()
    }

    /// Seconds of a core so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        self.processes().into_iter().map(cost::cpu).sum()
    }

    /// KiB of memory.
    pub(super) fn pss(&self) -> Result<u64> {
        self.processes().into_iter().map(cost::pss).sum()
    }

    /// Open descriptors.
    pub(super) fn descriptors(&self) -> usize {
        let of = |id: u32| fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        self.processes().into_iter().map(of).sum()
    }

    /// Threads.
    pub(super) fn threads(&self) -> usize {
        let of = |id: u32| fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
        self.processes().into_iter().map(of).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master takes its workers with it only when it is asked to end.
        let _ = kill(Pid::from_raw(self.process.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.process.wait("end", END);
    }
}

/// Our daemon with the limit of its unit (`LimitNOFILE=`).
fn limited(program: &Path, root: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 768; exec \"$@\"", "sh"]).arg(program).arg("--root").arg(root);
    command
}

fn nginx(program: &Path, folder: &Path) -> Result<Command> {
    let at = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {at}/{name};\n"))
        .concat();
    // Debian's nginx.conf: workers by cores, 768 connections each. Longer connections than its 1,000
    // requests, so that keep-alive is measured and not its end.
    let text = format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\n\
         events {{\n  worker_connections 768;\n}}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  default_type text/plain;\n{temporary}  \
         server {{\n    listen {PORT};\n    listen [::]:{PORT};\n    location / {{\n      return 200 \"ok\\n\";\n    }}\n  }}\n}}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text).context(format!("write {}", file.display()))?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(file);
    Ok(command)
}
