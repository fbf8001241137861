//! A house's router and a small internet for tests: three operators, each with echo, DNS, a web and a
//! TLS server, in both families. All of it lives in network namespaces of its own.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testnet::Namespace;

pub(crate) const BOOT: &str = "11111111-2222-3333-4444-555555555555";
/// Everything here answers at once; this is for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How often a server looks whether it should end.
const TURN: Duration = Duration::from_millis(50);
/// A client that says nothing for so long is left alone.
const CLIENT: Duration = Duration::from_secs(5);

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Manner {
    Right,
    /// Accepts and says nothing.
    Silent,
    /// The web: a redirect to a login page. DNS: the server fails.
    Portal,
    /// The web: another page. DNS: bytes that are no answer.
    Garbage,
    /// Closes at once. DNS: the right answer with another identifier.
    Odd,
}

const MANNERS: [Manner; 5] = [Manner::Right, Manner::Silent, Manner::Portal, Manner::Garbage, Manner::Odd];

/// A manner that can change while servers run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dial(Arc<AtomicU8>);

impl Dial {
    pub(crate) fn set(&self, manner: Manner) {
        self.0.store(manner as u8, Ordering::SeqCst);
    }

    fn get(&self) -> Manner {
        MANNERS[usize::from(self.0.load(Ordering::SeqCst))]
    }
}

/// Servers in a namespace; they end with the value.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Servers {
    /// Answers names at an address: `web-a.test` is operator a's, whatever else there is is not.
    pub(crate) fn dns(&mut self, at: &Namespace, address: &str, dial: &Dial) {
        let to = SocketAddr::new(address.parse().unwrap(), 53);
        let socket = at.run(move || UdpSocket::bind(to).unwrap());
        socket.set_read_timeout(Some(TURN)).unwrap();
        let (end, dial) = (Arc::clone(&self.end), dial.clone());
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !end.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = dns_answer(&buffer[..length], dial.get()) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        }));
    }

    /// A stream server at a port of every address.
    pub(crate) fn stream(
        &mut self,
        at: &Namespace,
        port: u16,
        dial: &Dial,
        serve: fn(&mut TcpStream, Manner),
    ) {
        let listener = at.run(move || TcpListener::bind(("::", port)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let (end, dial) = (Arc::clone(&self.end), dial.clone());
        self.threads.push(std::thread::spawn(move || {
            let mut clients: Vec<JoinHandle<()>> = Vec::new();
            while !end.load(Ordering::SeqCst) {
                let Ok((mut stream, _)) = listener.accept() else {
                    // The only pause: std has no accept with a deadline.
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(CLIENT)).unwrap();
                let manner = dial.get();
                clients.retain(|c| !c.is_finished());
                clients.push(std::thread::spawn(move || serve(&mut stream, manner)));
            }
        }));
    }
}

/// The pages the tests ask for.
pub(crate) fn web(stream: &mut TcpStream, manner: Manner) {
    if manner == Manner::Odd {
        return;
    }
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let answer: &[u8] = match manner {
        Manner::Right => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nsuccess\n",
        Manner::Portal => b"HTTP/1.1 302 Found\r\nLocation: http://login.house.test/\r\n\r\n",
        Manner::Garbage => b"HTTP/1.1 200 OK\r\n\r\n<html>Your data volume is used up</html>",
        Manner::Silent | Manner::Odd => {
            // Until the other side has had enough.
            let _ = stream.read(&mut request);
            return;
        }
    };
    let _ = stream.write_all(answer);
}

/// A TLS server that has nothing to offer: an alert is an answer, too.
pub(crate) fn tls(stream: &mut TcpStream, manner: Manner) {
    let mut hello = [0; 1024];
    let length = stream.read(&mut hello).unwrap_or(0);
    match manner {
        Manner::Right if length > 5 && hello[0] == 0x16 => {
            let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 40]);
        }
        Manner::Garbage => drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        Manner::Odd => {}
        _ => drop(stream.read(&mut hello)),
    }
}

fn dns_answer(question: &[u8], manner: Manner) -> Option<Vec<u8>> {
    let end = 12 + question.get(12..)?.iter().position(|b| *b == 0)? + 1;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let mut answer = question.get(..end + 4)?.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80;
    let label = usize::from(question[12]);
    let name = String::from_utf8_lossy(question.get(13..13 + label)?).to_lowercase();
    let operator = name.strip_prefix("web-").and_then(|o| o.bytes().next());
    let known = operator.map(|o| o - b'a' + 1).or((name == "example").then_some(1));
    match (manner, known) {
        (Manner::Silent, _) => return None,
        (Manner::Garbage, _) => return Some(vec![0xff; 30]),
        (Manner::Portal, _) => answer[3] |= 2,
        (_, Some(operator)) => {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, u8::try_from(kind).ok()?, 0, 1, 0, 0, 0, 60]);
            if kind == 1 {
                answer.extend([0, 4, 192, 0, 2, operator]);
            } else {
                let address: std::net::Ipv6Addr = format!("2001:db8:1::{operator}").parse().ok()?;
                answer.extend([0, 16]);
                answer.extend(address.octets());
            }
        }
        _ => answer[3] |= 3,
    }
    if manner == Manner::Odd {
        answer[1] ^= 1;
    }
    Some(answer)
}

/// The appliance, the house's router and what lies behind.
pub(crate) struct World {
    pub(crate) pi: Namespace,
    pub(crate) router: Namespace,
    pub(crate) net: Namespace,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) dns: Dial,
    pub(crate) web: Dial,
    pub(crate) tls: Dial,
    servers: Servers,
}

/// Three operators, every kind, both families; what the built-in list has, in small.
pub(crate) const TARGETS: &str = r#"
    "icmp 192.0.2.1 operator=a", "icmp 192.0.2.2 operator=b", "icmp 192.0.2.3 operator=c",
    "icmp 2001:db8:1::1 operator=a", "icmp 2001:db8:1::2 operator=b", "icmp 2001:db8:1::3 operator=c",
    "dns 192.0.2.1 operator=a", "dns 192.0.2.2 operator=b", "dns 192.0.2.3 operator=c",
    "dns 2001:db8:1::1 operator=a", "dns 2001:db8:1::2 operator=b", "dns 2001:db8:1::3 operator=c",
    "tls 192.0.2.1:443 operator=a", "tls 192.0.2.2:443 operator=b", "tls 192.0.2.3:443 operator=c",
    "http http://web-a.test/success.txt body=success operator=a",
    "http http://web-b.test/success.txt body=success operator=b",
    "http http://web-c.test/success.txt body=success operator=c",
"#;

impl World {
    pub(crate) fn new() -> Self {
        let (pi, router, net) = (Namespace::new(), Namespace::new(), Namespace::new());
        for namespace in [&pi, &router, &net] {
            // Link-local addresses count at once; nothing here has two of them.
            namespace.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0");
        }
        pi.cable("eth0", &router, "lan0");
        router.cable("wan0", &net, "isp0");
        for line in [
            "ip addr add 192.168.178.1/24 dev lan0",
            "ip addr add 2001:db8:a::1/64 dev lan0 nodad",
            "ip addr add 203.0.113.2/24 dev wan0",
            "ip addr add 2001:db8:ffff::2/64 dev wan0 nodad",
            "ip route add default via 203.0.113.1",
            "ip -6 route add default via 2001:db8:ffff::1",
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        ] {
            router.sh(line);
        }
        for line in [
            "ip addr add 203.0.113.1/24 dev isp0",
            "ip addr add 2001:db8:ffff::1/64 dev isp0 nodad",
            "ip route add 192.168.178.0/24 via 203.0.113.2",
            "ip -6 route add 2001:db8:a::/64 via 2001:db8:ffff::2",
            // Errors come as often as they are due, not once a second.
            "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0",
            "nft add table inet f",
            "nft add chain inet f in { type filter hook input priority 0 ; }",
        ] {
            net.sh(line);
        }
        let dir = tempfile::tempdir().unwrap();
        for folder in [
            "run/failberry/config",
            "run/failberry-uplink",
            "data/failberry/uplink",
            "proc/sys/kernel/random",
        ] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), format!("{BOOT}\n")).unwrap();
        let (dns, web, tls, servers) = Default::default();
        let mut world = Self { pi, router, net, dir, dns, web, tls, servers };
        world.heal();
        world.serve();
        world.plug();
        world.configure(TARGETS);
        world
    }

    fn serve(&mut self) {
        for operator in 1..=3 {
            self.net.sh(&format!("ip addr add 192.0.2.{operator}/32 dev lo"));
            self.net.sh(&format!("ip addr add 2001:db8:1::{operator}/128 dev lo nodad"));
            for address in [format!("192.0.2.{operator}"), format!("2001:db8:1::{operator}")] {
                self.servers.dns(&self.net, &address, &self.dns);
            }
        }
        self.servers.stream(&self.net, 80, &self.web, web);
        self.servers.stream(&self.net, 443, &self.tls, tls);
    }

    /// What DHCP and router advertisements give the appliance.
    pub(crate) fn plug(&self) {
        self.pi.sh("ip addr add 192.168.178.2/24 dev eth0");
        self.pi.sh("ip addr add 2001:db8:a::2/64 dev eth0 nodad");
        self.pi.sh("ip route add default via 192.168.178.1 dev eth0 metric 1024 proto dhcp");
        self.pi.sh("ip -6 route add default via 2001:db8:a::1 dev eth0 metric 1024 proto ra");
    }

    pub(crate) fn configure(&self, targets: &str) {
        let text = format!("[uplink]\ntargets = [{targets}]\n");
        std::fs::write(self.dir.path().join("run/failberry/config/uplink.toml"), text).unwrap();
    }

    /// Everything from the house that matches is handled so, where the operators are.
    pub(crate) fn fault(&self, rule: &str) {
        self.net.sh(&format!("nft add rule inet f in iifname isp0 {rule}"));
    }

    pub(crate) fn heal(&self) {
        self.net.sh("nft flush chain inet f in");
        // What routers say to each other is no part of any fault.
        self.net.sh("nft add rule inet f in icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept");
    }

    /// The router answers for the whole world: its own web page, its own names.
    pub(crate) fn gateway_answers_for_all(&mut self) {
        self.web.set(Manner::Portal);
        let router = &self.router;
        let own = Dial::default();
        own.set(Manner::Garbage);
        let names = Dial::default();
        self.servers.dns(router, "192.168.178.1", &names);
        self.servers.stream(router, 80, &own, web);
        self.servers.stream(router, 443, &Dial::default(), tls);
        for line in [
            "nft add table ip nat",
            "nft add chain ip nat pre { type nat hook prerouting priority -100 ; }",
            "nft add rule ip nat pre iifname lan0 dnat to 192.168.178.1",
        ] {
            router.sh(line);
        }
    }

    pub(crate) fn daemon(&self) -> Running {
        let root = self.dir.path().to_owned();
        self.pi.run(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_uplink"));
            Running(command.arg("--root").arg(root).stderr(Stdio::inherit()).spawn().unwrap())
        })
    }

    pub(crate) fn snapshot(&self) -> Option<Value> {
        read(&self.dir.path().join("run/failberry/uplink.json"))
    }

    /// A line as the snapshot has it.
    pub(crate) fn line(&self, name: &str) -> Option<Value> {
        self.snapshot()?["links"].as_array()?.iter().find(|l| l["name"] == name).cloned()
    }

    /// Waits until the wired line is in a state; how long that took.
    pub(crate) fn until(&self, state: &str, part: Option<&str>) -> Duration {
        let started = Instant::now();
        let want = part.map_or(Value::Null, Value::from);
        while !self.line("wired").is_some_and(|l| l["state"] == state && l["part"] == want) {
            if started.elapsed() > SOON {
                let line = self.line("wired").unwrap_or_default();
                panic!("not {state} {part:?} but {} {}: {}", line["state"], line["part"], line["reason"]);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        started.elapsed()
    }
}

pub(crate) fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The daemon; it ends with the value.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until there is something, or fails.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An address as tests write it.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
