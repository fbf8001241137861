//! The appliance under test with everything around it, and the ways to ask it something: its
//! status page, SSH, its console, the pages it carries.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::carrier::{CarrierConfig, Ipv6Subscriber};
use crate::checker::Checkers;
use crate::client::{Client, Habit};
use crate::error::{Context, Error, Result};
use crate::image::Card;
use crate::line::{Direction, Line};
use crate::net::route53::ZONE_MARK;
use crate::process::{self, Output};
use crate::qemu::{self, Console, Extra, Machine, Model, Parts};
use crate::stick::{self, StickConfig, StickHandle};
use crate::world::{self, APPLIANCE, Plan, World};

/// What the user writes into `failberry.toml` where a scenario says nothing else.
pub const CONFIG: &str = "[system]\nhostname = \"failberry\"\n\n[modem]\napn = \"internet.test\"\n\n\
                          [network]\nmode = \"backup\"\n";
/// Making a key, and other small commands.
const COMMAND: Duration = Duration::from_secs(20);
/// What a failed run may take longer to say what it was like.
const EVIDENCE: Duration = Duration::from_secs(30);
/// What the console shows once in every boot.
const STARTED: &str = "early-init: start ";
/// SSH's own patience for a connection, in seconds.
const SSH_CONNECT: u32 = 5;

/// What to boot.
#[derive(Debug)]
pub struct Options<'a> {
    /// The baked image.
    pub image: &'a Path,
    /// Which machine.
    pub model: Model,
    /// Folder for logs and copies; emptied first.
    pub folder: &'a Path,
    /// Content of `failberry.toml`.
    pub config: &'a str,
    /// How often it may reboot by itself.
    pub reboots: u32,
    /// Further devices on the bench.
    pub extras: &'a [Extra],
    /// What is around it.
    pub plan: Plan,
}

/// A booted appliance in its world. Fields end in this order: machine, stick, world, files.
#[derive(Debug)]
pub struct Appliance {
    machine: Option<Machine>,
    stick: Option<Ending>,
    /// What is around it.
    pub world: World,
    /// Its serial line, and the run's clock: zero is power-on.
    pub console: Console,
    model: Model,
    card: Card,
    folder: PathBuf,
    sockets: Sockets,
    key: PathBuf,
    subscriber: Ipv4Addr,
    /// How often it may reboot by itself, how often it was switched on.
    reboots_allowed: u32,
    switched_on: u32,
    extras: Vec<Extra>,
    clients: Vec<Client>,
    checkers: Option<Checkers>,
    /// What the lines had carried when counting began anew.
    counted: [u64; 2],
    _lock: Flock<File>,
}

/// A stick that ends with this value.
#[derive(Debug)]
struct Ending(StickHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A folder with a short path that vanishes with this value.
#[derive(Debug)]
struct Sockets(PathBuf);

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Appliance {
    /// Builds the world, writes the user's files and switches the machine on.
    ///
    /// # Errors
    /// When something of the lab fails; how the appliance fares is the caller's to ask.
    pub fn boot(options: &Options<'_>) -> Result<Self> {
        let folder = options.folder.to_path_buf();
        let lock = lock(&folder)?;
        if folder.exists() {
            fs::remove_dir_all(&folder).context(format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).context(format!("make {}", folder.display()))?;
        let sockets = sockets()?;
        let key = make_key(&folder)?;
        let card = Card::copy(options.image, folder.join("card.img"))?;
        let public = key.with_extension("pub");
        card.put("authorized_keys", &fs::read(&public).context(format!("read {}", public.display()))?)?;
        if options.model == Model::BoardRpi3b {
            card.put("boot.env", qemu::BOARD_ENV.as_bytes())?;
        }
        let mut world = World::create(&folder, options.plan)?;
        if options.extras.contains(&Extra::NetworkCard) {
            world.add_card(&folder)?;
        }
        let hosted = world.route53.as_ref().map_or("", |service| &service.zone);
        card.put("failberry.toml", options.config.replace(ZONE_MARK, hosted).as_bytes())?;
        let carrier = carrier(&world, options.plan)?;
        let subscriber = carrier.subscriber;
        let stick = match options.model {
            Model::BoardRpi3b => None,
            Model::Bench => {
                let socket = qemu::stick_socket(&sockets.0);
                let config = StickConfig { carrier, ..StickConfig::new(socket) };
                Some(Ending(stick::start(config).map_err(|error| Error::Unexpected(error.to_string()))?))
            }
        };
        let console = Console::new(&folder.join("serial.log"))?;
        let model = options.model;
        let mut appliance = Self {
            machine: None,
            stick,
            world,
            console,
            model,
            card,
            folder,
            sockets,
            key,
            subscriber,
            reboots_allowed: options.reboots,
            switched_on: 0,
            extras: options.extras.to_vec(),
            clients: Vec::new(),
            checkers: None,
            counted: [0; 2],
            _lock: lock,
        };
        appliance.power_on()?;
        Ok(appliance)
    }

    fn power_on(&mut self) -> Result<()> {
        self.switched_on += 1;
        self.machine = Some(Machine::start(&Parts {
            model: self.model,
            card: &self.card,
            house: &self.world.house,
            folder: &self.folder,
            sockets: &self.sockets.0,
            console: &self.console,
            reboots: self.reboots_allowed > 0,
            extras: &self.extras,
            stick: self.stick.as_ref().map(|stick| &stick.0),
        })?);
        Ok(())
    }

    /// Cuts the power of the appliance and with it of the stick, lets `meanwhile` edit the card,
    /// and gives power again.
    ///
    /// # Errors
    /// When the machine cannot be started again.
    pub fn power_cycle(&mut self, meanwhile: impl FnOnce(&Card) -> Result<()>) -> Result<()> {
        self.machine = None;
        if let Some(stick) = &self.stick {
            stick.0.power_lost();
        }
        meanwhile(&self.card)?;
        if let Some(stick) = &self.stick {
            stick.0.power_restored();
        }
        self.power_on()
    }

    /// How often it has started again by itself.
    pub fn reboots(&self) -> u32 {
        let starts = u32::try_from(self.console.count(STARTED)).unwrap_or(u32::MAX);
        starts.saturating_sub(self.switched_on)
    }

    /// Fails when the machine has ended, or has rebooted more often than it may.
    ///
    /// # Errors
    /// [`Error::Unexpected`].
    pub fn check(&mut self) -> Result<()> {
        let reboots = self.reboots();
        if reboots > self.reboots_allowed {
            return Err(Error::Unexpected(format!(
                "the appliance has rebooted {reboots} times, allowed: {}",
                self.reboots_allowed
            )));
        }
        self.machine.as_mut().map_or(Ok(()), |machine| machine.check(&self.folder))
    }

    /// The stick in its hub.
    ///
    /// # Errors
    /// On a machine without one.
    pub fn stick(&self) -> Result<&StickHandle> {
        self.stick.as_ref().map(|stick| &stick.0).ok_or_else(qemu::no_stick)
    }

    /// The address the carrier gives the appliance.
    pub fn subscriber(&self) -> Ipv4Addr {
        self.subscriber
    }

    /// Folder with this run's logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The private key that may log in.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// What the status page's interface says: `{"state": …, "daemons": {name: snapshot}}`.
    ///
    /// # Errors
    /// When it does not answer, or not with JSON.
    pub fn status(&self, limit: Duration) -> Result<Value> {
        let url = format!("http://{APPLIANCE}/api/status");
        let response = self.world.client_get(&url, limit)?;
        if response.status != 200 {
            return Err(Error::Unexpected(format!("get {url}: status {}", response.status)));
        }
        serde_json::from_str(&response.body).map_err(|error| Error::Unexpected(format!("get {url}: {error}")))
    }

    /// Runs a command on the appliance over SSH, from the LAN.
    ///
    /// # Errors
    /// When `ssh` cannot be run or takes longer than `limit`; a refused login is an exit status.
    pub fn ssh(&self, command: &str, limit: Duration) -> Result<Output> {
        let mut ssh = self.ssh_command();
        ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(&self.key);
        process::output(ssh.arg(format!("root@{APPLIANCE}")).args(["--", command]), limit)
    }

    /// The ways to log in that the appliance offers somebody without a key.
    ///
    /// # Errors
    /// When SSH does not answer.
    pub fn ssh_methods(&self, limit: Duration) -> Result<String> {
        let mut ssh = self.ssh_command();
        // RFC 4252 section 5.2: "none" makes the server list what it would take.
        ssh.args(["-v", "-o", "PreferredAuthentications=none", "-o", "PubkeyAuthentication=no"]);
        let output = process::output(ssh.arg(format!("root@{APPLIANCE}")).args(["--", "true"]), limit)?;
        let list = "Authentications that can continue: ";
        let methods = output.stderr.lines().find_map(|line| Some(line.split_once(list)?.1.trim()));
        methods.map(ToOwned::to_owned).ok_or_else(|| {
            Error::Unexpected(format!(
                "ssh {APPLIANCE}: {}",
                output.stderr.lines().last().unwrap_or_default()
            ))
        })
    }

    /// Keeps what the appliance itself says of a failure beside the logs: `status.json`,
    /// `journal.log`. One that cannot be asked any more leaves its console.
    pub fn save_evidence(&self) {
        if let Ok(status) = self.status(EVIDENCE) {
            let _ = fs::write(self.folder.join("status.json"), format!("{status:#}"));
        }
        if let Ok(journal) = self.ssh("journalctl --boot --no-pager --output=short-monotonic", EVIDENCE) {
            let _ = fs::write(self.folder.join("journal.log"), journal.text() + &journal.stderr);
        }
    }

    /// Somebody in the LAN begins with something, or begins anew.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn begin(&mut self, habit: Habit) -> Result<()> {
        let mut ssh = self.ssh_command();
        ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(&self.key);
        ssh.arg(format!("root@{APPLIANCE}")).args(["--", "cat"]);
        self.clients.retain(|client| client.habit != habit);
        self.clients.push(Client::begin(habit, &self.world.client, ssh)?);
        Ok(())
    }

    /// Who is at something.
    ///
    /// # Errors
    /// When nobody is.
    pub fn client(&self, habit: Habit) -> Result<&Client> {
        let nobody = || Error::Unexpected(format!("nobody is at {}: client-start comes first", habit.name()));
        self.clients.iter().find(|client| client.habit == habit).ok_or_else(nobody)
    }

    /// Everybody who is at something.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// A health checker of the internet begins to ask over both lines.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn begin_checks(&mut self) -> Result<()> {
        self.checkers = Some(Checkers::begin(&self.world.internet, world::WIRED, self.subscriber)?);
        Ok(())
    }

    /// That checker.
    ///
    /// # Errors
    /// When there is none.
    pub fn checkers(&self) -> Result<&Checkers> {
        let nobody = || Error::Unexpected("nobody checks: checker-start comes first".to_owned());
        self.checkers.as_ref().ok_or_else(nobody)
    }

    /// Bytes a line has carried, both ways, since counting began.
    pub fn line_bytes(&self, line: Line) -> u64 {
        self.carried(line).saturating_sub(self.counted[line as usize])
    }

    /// Counts the bytes of a line from now on.
    pub fn count_anew(&mut self, line: Line) {
        self.counted[line as usize] = self.carried(line);
    }

    fn carried(&self, line: Line) -> u64 {
        let relay = self.world.lines.get(line);
        relay.counted(Direction::Up).bytes + relay.counted(Direction::Down).bytes
    }

    fn ssh_command(&self) -> Command {
        let mut ssh = self.world.client.command("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", self.folder.join("known_hosts").display()));
        ssh.arg("-o").arg(format!("ConnectTimeout={SSH_CONNECT}"));
        ssh
    }
}

fn carrier(world: &World, plan: Plan) -> Result<CarrierConfig> {
    let prefix = world::CARRIER_PREFIX.parse();
    let prefix = prefix.map_err(|error| Error::Unexpected(format!("the carrier's prefix: {error}")))?;
    let ipv6 = Ipv6Subscriber { gateway_id: 1, subscriber_id: 2, prefix };
    let usual = CarrierConfig::default();
    let (subscriber, gateway) =
        if plan.carrier_nat { world::SHARED_SUBSCRIBER } else { (usual.subscriber, usual.gateway) };
    Ok(CarrierConfig {
        netns: Some(world.carrier.path()),
        ipv6: plan.ipv6.then_some(ipv6),
        subscriber,
        gateway,
        ..usual
    })
}

/// Two runs in one folder would write each other's card.
fn lock(folder: &Path) -> Result<Flock<File>> {
    let path = folder.with_extension("lock");
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).context(format!("make {}", parent.display()))?;
    let file = File::create(&path).context(format!("create {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| Error::Io {
        what: format!("lock {}: another run uses this folder, wait for it or end it", path.display()),
        source: errno.into(),
    })
}

fn sockets() -> Result<Sockets> {
    let folder = std::env::temp_dir().join(format!("failberry-lab-{}", std::process::id()));
    fs::create_dir_all(&folder).context(format!("make {}", folder.display()))?;
    Ok(Sockets(folder))
}

fn make_key(folder: &Path) -> Result<PathBuf> {
    let key = folder.join("key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(&key);
    process::run(&mut keygen, COMMAND)?;
    Ok(key)
}
