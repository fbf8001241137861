//! pppd: its options, its start, its end.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ::config::Auth;
use modem_proto::machine::{PdpType, SessionEnd};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use sysio::{Monotonic, Root, file};

use crate::RUN_DIRECTORY;
use crate::config::Credentials;
use crate::ip_up::{self, PARAMETER, SCRIPTS};

const PPPD: &str = "/usr/sbin/pppd";
/// pppd says goodbye to the peer (`lcp-max-terminate` requests, 1 s apart: `lcp-restart`) and waits for its scripts.
const GOODBYE: Duration = Duration::from_secs(5);
/// A killed process is gone at once, unless the kernel holds it; then going on is better.
const KILL_PATIENCE: Duration = Duration::from_millis(200);
const REAP_INTERVAL: Duration = Duration::from_millis(10);

/// pppd's options; the order does not matter. pppd(8) explains each.
///
/// * A dead peer is noticed after 3 unanswered echoes, 3 s apart; under traffic none is sent. The
///   peer is the stick itself (PPP ends there, 3GPP TS 27.060 section 7), so echoes cost no data.
/// * Requests are repeated after 1 s, not 3: the wire is a USB cable. `ipcp-max-failure`: sticks
///   refuse addresses until the network gave them some. A stick that answers no LCP within 10 s
///   will not.
/// * Routes and DNS are `uplink`'s business. Debian's own scripts in /etc/ppp stay out.
/// * No header or payload compression: sticks do without, some choke on it.
const OPTIONS: &str = "\
nodetach
nolock
modem
nocrtscts
noauth
noipdefault
ipcp-accept-local
ipcp-accept-remote
nodefaultroute
usepeerdns
noresolvconf
novj
noccp
lcp-echo-interval 3
lcp-echo-failure 3
lcp-echo-adaptive
lcp-restart 1
lcp-max-configure 10
lcp-max-terminate 2
ipcp-restart 1
ipcp-max-configure 30
ipcp-max-failure 30
nopersist
maxfail 1
unit 0
ip-pre-up-script /nonexistent
";

/// Where pppd's things are.
#[derive(Clone, Debug)]
pub struct Files {
    options: PathBuf,
    pid: PathBuf,
    /// Where [`crate::ip_up`] writes the addresses, and is linked to for pppd to call it.
    pub directory: PathBuf,
    program: PathBuf,
    proc: PathBuf,
}

impl Files {
    /// Below this root.
    pub fn new(root: &Root) -> Self {
        let directory = root.path(RUN_DIRECTORY);
        Self {
            options: directory.join("options"),
            pid: directory.join("pppd.pid"),
            program: root.path(PPPD),
            proc: root.path("/proc"),
            directory,
        }
    }
}

/// A running pppd.
#[derive(Debug)]
pub struct Session {
    child: Child,
    files: Files,
    kill_at: Option<Monotonic>,
    given_up: bool,
}

impl Session {
    /// Starts pppd on an open `port`, which is in data mode.
    ///
    /// It gets the port as its standard input, not by name: then it leaves DTR alone when it ends
    /// (pppd/tty.c, `finish_tty`) instead of resting a second with DTR low. Closing our own
    /// descriptor hangs up, and after a call the network ended there is nothing to hang up.
    ///
    /// # Errors
    /// Whatever writing its options or starting it reports.
    pub fn start(files: &Files, port: OwnedFd, credentials: &Credentials) -> io::Result<Self> {
        link_scripts(files)?;
        ip_up::clear(&files.directory);
        let options = options(credentials, &files.directory);
        file::write_atomic(&files.options, options.as_bytes(), 0o600)?;
        let child = Command::new(&files.program)
            .arg("file")
            .arg(&files.options)
            .stdin(Stdio::from(port))
            .stdout(Stdio::null()) // it logs to syslog as well
            .spawn()?;
        let session = Self { child, files: files.clone(), kill_at: None, given_up: false };
        file::write_atomic(&files.pid, session.pid().to_string().as_bytes(), 0o600)?;
        Ok(session)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether and how it ended.
    pub fn ended(&mut self) -> Option<SessionEnd> {
        let status = self.child.try_wait().ok()??;
        let _ = fs::remove_file(&self.files.pid);
        ip_up::clear(&self.files.directory);
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => SessionEnd::Code(code),
            (None, signal) => SessionEnd::Signal(signal.unwrap_or_default()),
        })
    }

    /// Asks it to end; it is killed at [`Session::kill_at`].
    pub fn end(&mut self, now: Monotonic) {
        if self.kill_at.is_none() {
            self.signal(Signal::SIGTERM);
            self.kill_at = Some(now + GOODBYE);
        }
    }

    /// When its time is up.
    pub fn kill_at(&self) -> Option<Monotonic> {
        self.kill_at
    }

    /// Kills it if its time is up.
    pub fn enforce(&mut self, now: Monotonic) {
        if self.kill_at.is_some_and(|at| now >= at) {
            log::warn!("pppd did not end within {} s: killed", GOODBYE.as_secs());
            self.signal(Signal::SIGKILL);
            self.kill_at = Some(now + GOODBYE);
        }
    }

    /// Ends it without a goodbye; what is left of it, if the kernel still holds it, is to be reaped.
    pub fn kill(mut self) -> Option<Abandoned> {
        self.given_up = self.finish();
        self.given_up.then(|| Abandoned(self.child.id()))
    }

    /// Kills it and waits a moment; whether it is still there.
    fn finish(&mut self) -> bool {
        self.signal(Signal::SIGKILL);
        let end = Instant::now() + KILL_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= end {
                return true;
            }
            thread::sleep(REAP_INTERVAL);
        }
        false
    }

    fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }
}

impl Drop for Session {
    /// Never leaves a pppd behind.
    fn drop(&mut self) {
        if self.given_up || matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.finish();
    }
}

/// A killed pppd the kernel has not let go of yet: it waits for a device that takes nothing.
#[derive(Debug)]
pub struct Abandoned(u32);

impl Abandoned {
    /// Takes note of its end; whether it is gone.
    pub fn is_gone(&self) -> bool {
        let pid = Pid::from_raw(self.0.cast_signed());
        !matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    }
}

/// The names pppd calls this program by; the name says what happened.
fn link_scripts(files: &Files) -> io::Result<()> {
    let program = std::env::current_exe()?;
    for script in SCRIPTS {
        let link = files.directory.join(script);
        if fs::read_link(&link).is_ok_and(|target| target == program) {
            continue;
        }
        let _ = fs::remove_file(&link);
        symlink(&program, &link)?;
    }
    Ok(())
}

fn options(credentials: &Credentials, directory: &Path) -> String {
    let mut lines = vec![
        format!("user {}", quoted(&credentials.user)),
        format!("password {}", quoted(credentials.password())),
        format!("ipparam {}", quoted(&format!("{PARAMETER}{}", directory.display()))),
    ];
    for script in SCRIPTS {
        lines.push(format!("{script}-script {}", quoted(&directory.join(script).display().to_string())));
    }
    lines.extend(addresses(credentials.addresses).iter().map(|option| (*option).to_owned()));
    lines.extend(logins(credentials.auth).iter().map(|option| (*option).to_owned()));
    format!("{}\n{OPTIONS}", lines.join("\n"))
}

/// What pppd negotiates for each kind of PDP context.
fn addresses(of: PdpType) -> &'static [&'static str] {
    match of {
        PdpType::Ipv4 => &["noipv6"],
        PdpType::Ipv6 => {
            &["noip", "+ipv6", "ipv6cp-accept-local", "ipv6cp-restart 1", "ipv6cp-max-configure 30"]
        }
        PdpType::Ipv4v6 => &["+ipv6", "ipv6cp-accept-local", "ipv6cp-restart 1", "ipv6cp-max-configure 30"],
    }
}

/// What pppd refuses so that the peer asks for the configured login.
fn logins(of: Auth) -> &'static [&'static str] {
    match of {
        Auth::Any => &["refuse-eap"],
        Auth::Pap => &["refuse-eap", "refuse-chap", "refuse-mschap", "refuse-mschap-v2"],
        Auth::Chap => &["refuse-eap", "refuse-pap"],
    }
}

/// A word for pppd's option files: in quotes, with backslashes before quote and backslash.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Ends a pppd that an earlier run of the daemon left behind.
pub fn end_stale(files: &Files) {
    let Ok(text) = fs::read_to_string(&files.pid) else { return };
    let _ = fs::remove_file(&files.pid);
    let Ok(pid) = text.trim().parse::<i32>() else { return };
    if pid <= 1 || !is_ours(files, pid) {
        return;
    }
    log::warn!("pppd {pid} of an earlier run is still there: ended");
    let target = Pid::from_raw(pid);
    for (signal, patience) in [(Signal::SIGTERM, GOODBYE), (Signal::SIGKILL, KILL_PATIENCE)] {
        let _ = kill(target, signal);
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if !is_ours(files, pid) {
                return;
            }
            thread::sleep(REAP_INTERVAL);
        }
    }
}

/// A process id is reused; the options file among its arguments is ours alone.
fn is_ours(files: &Files, pid: i32) -> bool {
    let arguments = fs::read(files.proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let ours = files.options.as_os_str().as_encoded_bytes();
    arguments.split(|byte| *byte == 0).any(|argument| argument == ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_quote_what_a_user_may_write() {
        assert_eq!(quoted("a \"b\" \\ c"), "\"a \\\"b\\\" \\\\ c\"");
    }

    /// The real pppd of the same Debian release parses them before it looks at the device (exit
    /// code 2) or at the kernel (4, where the builder's has no PPP).
    #[test]
    fn pppd_knows_every_option() {
        for (auth, addresses) in [("any", "ipv4"), ("pap", "ipv6"), ("chap", "ipv4v6")] {
            let text =
                format!("[modem]\nuser = 'a \"b\" \\'\nauth = \"{auth}\"\npdp-type = \"{addresses}\"\n");
            let config = ::config::parse(text.as_bytes()).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), options(&Credentials::of(&config.modem), Path::new("/x"))).unwrap();
            let output =
                Command::new(PPPD).args(["/dev/ttyS0", "dryrun", "file"]).arg(file.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(0 | 4)), "{auth}: {:?}: {said}", output.status);
        }
    }

    #[test]
    fn a_stranger_with_a_reused_process_id_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        fs::create_dir_all(root.path(RUN_DIRECTORY)).unwrap();
        symlink("/proc", root.path("/proc")).unwrap();
        let files = Files::new(&root);
        let mut stranger = Command::new("sleep").arg("30").spawn().unwrap();
        fs::write(&files.pid, stranger.id().to_string()).unwrap();
        end_stale(&files);
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_pppd_of_an_earlier_run_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        fs::create_dir_all(root.path(RUN_DIRECTORY)).unwrap();
        symlink("/proc", root.path("/proc")).unwrap();
        let files = Files::new(&root);
        let mut stale = Command::new("sh")
            .args(["-c", "sleep 60 & wait", "pppd", "file"])
            .arg(&files.options)
            .spawn()
            .unwrap();
        fs::write(&files.pid, stale.id().to_string()).unwrap();
        // The kernel shows the arguments a moment after exec.
        let end = Instant::now() + GOODBYE;
        while !is_ours(&files, stale.id().cast_signed()) {
            assert!(Instant::now() < end, "its arguments do not appear");
            thread::sleep(REAP_INTERVAL);
        }
        let reaper = thread::spawn(move || stale.wait().unwrap());
        end_stale(&files);
        assert!(!reaper.join().unwrap().success());
    }
}
