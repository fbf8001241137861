//! Who keeps the router: daemons of ours, a script on the minute, or monit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use testnet::Namespace;

use super::super::cost;
use crate::error::{Context, Result};
use crate::process::Keep;

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// `netguard` and `nic-health`.
    Ours,
    /// A shell script each minute.
    Cron,
    /// monit of Debian 13, each 30 s (Debian's own file has 120 s).
    Monit,
}

/// Where the programs are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Programs<'a> {
    /// Our daemons.
    pub(super) ours: &'a Path,
    /// monit, where it could be fetched.
    pub(super) monit: Option<&'a Path>,
}

/// Processes that run as long as this lives.
#[derive(Debug)]
pub(super) struct Keeper(Vec<Keep>);

impl Keeper {
    /// `folder` holds the rules as they should be, and is the system's root for our daemons.
    pub(super) fn start(who: Who, programs: Programs<'_>, pi: &Namespace, folder: &Path) -> Result<Self> {
        let commands = match who {
            Who::Ours => ["netguard", "nic-health"]
                .map(|name| daemon(programs.ours, name, folder))
                .into_iter()
                .collect(),
            Who::Cron => {
                let mut shell = Command::new("sh");
                shell.args(["-c", include_str!("cron.sh"), "cron"]).arg(folder);
                vec![shell]
            }
            Who::Monit => vec![monit(programs.monit.unwrap_or(Path::new("monit")), folder)?],
        };
        commands.into_iter().map(|command| spawn(pi, command)).collect::<Result<_>>().map(Self)
    }

    /// Our firewall alone, to learn the rules that all shall keep.
    pub(super) fn netguard(ours: &Path, pi: &Namespace, folder: &Path) -> Result<Self> {
        Ok(Self(vec![spawn(pi, daemon(ours, "netguard", folder))?]))
    }

    /// Seconds of a core so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        self.0.iter().map(|keep| cost::cpu(keep.0.id())).sum()
    }

    /// KiB, of what is there all the time.
    pub(super) fn pss(&self) -> Result<u64> {
        self.0.iter().map(|keep| cost::pss(keep.0.id())).sum()
    }
}

fn spawn(pi: &Namespace, mut command: Command) -> Result<Keep> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    pi.run(move || Keep::new(&mut command))
}

fn daemon(ours: &Path, name: &str, root: &Path) -> Command {
    let mut command = Command::new(ours.join(name));
    command.arg("--root").arg(root);
    command
}

fn monit(program: &Path, folder: &Path) -> Result<Command> {
    let at = folder.display().to_string();
    let rules = format!(
        "#!/bin/sh\nlisted() {{ \"$1-save\" | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'; }}\n\
         listed iptables | cmp -s - {at}/listed.v4 && listed ip6tables | cmp -s - {at}/listed.v6\n"
    );
    let restore = format!("iptables-restore <{at}/rules.v4\nip6tables-restore <{at}/rules.v6\n");
    let forwarding = "#!/bin/sh\n[ \"$(cat /proc/sys/net/ipv4/ip_forward)\" = 1 ]\n".to_owned();
    let settings = include_str!("monitrc").replace("@FOLDER@", &at);
    for (name, text, mode) in [
        ("rules", rules, 0o755),
        ("forwarding", forwarding, 0o755),
        ("restore", restore, 0o644),
        // monit refuses a file that others may read.
        ("monitrc", settings, 0o600),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).context(format!("write {}", path.display()))?;
        let context = format!("set the mode of {}", path.display());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).context(context)?;
    }
    let mut command = Command::new(program);
    command.arg("-I").arg("-c").arg(folder.join("monitrc"));
    Ok(command)
}
