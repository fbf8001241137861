//! A house's line in network namespaces: the appliance, its router, and three operators behind it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testnet::Namespace;

use crate::error::{Context, Result};

/// How often a server looks whether it should end.
const TURN: Duration = Duration::from_millis(100);
/// A client that says nothing for so long is left alone.
const CLIENT: Duration = Duration::from_secs(3);

/// Three operators with everything the built-in list asks, in both families.
const TARGETS: &str = r#"[uplink]
targets = [
  "icmp 192.0.2.1 operator=a", "icmp 192.0.2.2 operator=b", "icmp 192.0.2.3 operator=c",
  "icmp 2001:db8:1::1 operator=a", "icmp 2001:db8:1::2 operator=b", "icmp 2001:db8:1::3 operator=c",
  "dns 192.0.2.1 operator=a", "dns 192.0.2.2 operator=b", "dns 192.0.2.3 operator=c",
  "tls 192.0.2.1:443 operator=a", "tls 192.0.2.2:443 operator=b", "tls 192.0.2.3:443 operator=c",
  "http http://web-a.test/success.txt body=success operator=a",
  "http http://web-b.test/success.txt body=success operator=b",
  "http http://web-c.test/success.txt body=success operator=c",
]
"#;

/// What the appliance and the router are given.
const HOUSE: [&str; 6] = [
    "ip addr add 192.168.178.1/24 dev lan0",
    "ip addr add 2001:db8:a::1/64 dev lan0 nodad",
    "ip addr add 203.0.113.2/24 dev wan0",
    "ip addr add 2001:db8:ffff::2/64 dev wan0 nodad",
    "ip route add default via 203.0.113.1",
    "ip -6 route add default via 2001:db8:ffff::1",
];
const INTERNET: [&str; 6] = [
    "ip addr add 203.0.113.1/24 dev isp0",
    "ip addr add 2001:db8:ffff::1/64 dev isp0 nodad",
    "ip route add 192.168.178.0/24 via 203.0.113.2",
    "ip -6 route add 2001:db8:a::/64 via 2001:db8:ffff::2",
    "nft add table inet f",
    "nft add chain inet f in { type filter hook input priority 0 ; }",
];
const APPLIANCE: [&str; 4] = [
    "ip addr add 192.168.178.2/24 dev eth0",
    "ip addr add 2001:db8:a::2/64 dev eth0 nodad",
    "ip route add default via 192.168.178.1 dev eth0 metric 1024 proto dhcp",
    "ip -6 route add default via 2001:db8:a::1 dev eth0 metric 1024 proto ra",
];

/// The cellular line, from the appliance straight to the operators. A veth looks for neighbours, which
/// a PPP line has not: those of IPv6 are given.
const CELLULAR: [&str; 5] = [
    "ip addr add 100.64.0.2/24 dev ppp0",
    "ip addr add 2001:db8:b::2/64 dev ppp0 nodad",
    "ip -6 neigh add 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev ppp0",
    "ip -6 neigh add 2001:db8:1::2 lladdr 02:00:00:00:00:01 dev ppp0",
    "ip -6 neigh add 2001:db8:1::3 lladdr 02:00:00:00:00:01 dev ppp0",
];
/// The boot the appliance is in.
pub(in crate::bench) const BOOT: &str = "11111111-2222-3333-4444-555555555555";

/// What is done with a connection.
type Serve = fn(&mut TcpStream);

/// One line; servers end with it.
#[derive(Debug)]
pub(in crate::bench) struct World {
    pub(in crate::bench) pi: Namespace,
    net: Namespace,
    _router: Namespace,
    pub(in crate::bench) root: PathBuf,
    end: Arc<AtomicBool>,
    servers: Vec<JoinHandle<()>>,
}

impl World {
    pub(in crate::bench) fn new(root: &Path) -> Result<Self> {
        let (pi, router, net) = (Namespace::new(), Namespace::new(), Namespace::new());
        for namespace in [&pi, &router, &net] {
            namespace.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0");
        }
        pi.cable("eth0", &router, "lan0");
        router.cable("wan0", &net, "isp0");
        for line in HOUSE {
            router.sh(line);
        }
        router.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for line in INTERNET {
            net.sh(line);
        }
        prepare(root).context(format!("make {}", root.display()))?;
        let (end, servers) = (Arc::default(), Vec::new());
        let mut world = Self { pi, net, _router: router, root: root.to_owned(), end, servers };
        world.serve().context("start the operators' servers".to_owned())?;
        world.fault(None);
        for line in APPLIANCE {
            world.pi.sh(line);
        }
        Ok(world)
    }

    /// What happens to packets that reach the operators, from now on. Neighbours are left out of it:
    /// the line dies beyond the router. Gives the moment before the rule was there: what `nft` takes
    /// counts against whoever watches.
    pub(in crate::bench) fn fault(&self, rule: Option<&str>) -> Instant {
        self.net.sh("nft flush chain inet f in");
        self.net.sh("nft add rule inet f in icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept");
        let before = Instant::now();
        if let Some(rule) = rule {
            self.net.sh(&format!("nft add rule inet f in iifname isp0 {rule}"));
        }
        before
    }

    /// Adds the cellular line.
    pub(in crate::bench) fn cellular(&self) {
        self.pi.cable("ppp0", &self.net, "isp1");
        self.net.sh("ip link set isp1 address 02:00:00:00:00:01");
        self.net.sh("ip addr add 100.64.0.1/24 dev isp1");
        self.net.sh("ip addr add 2001:db8:b::1/64 dev isp1 nodad");
        for line in CELLULAR {
            self.pi.sh(line);
        }
    }

    /// Runs a command at the lines' far end.
    pub(in crate::bench) fn far(&self, line: &str) -> String {
        self.net.sh(line)
    }

    fn serve(&mut self) -> std::io::Result<()> {
        for operator in 1..=3 {
            self.net.sh(&format!("ip addr add 192.0.2.{operator}/32 dev lo"));
            self.net.sh(&format!("ip addr add 2001:db8:1::{operator}/128 dev lo nodad"));
            let at = SocketAddr::from(([192, 0, 2, operator], 53));
            let socket = self.net.run(move || UdpSocket::bind(at))?;
            socket.set_read_timeout(Some(TURN))?;
            let end = Arc::clone(&self.end);
            self.servers.push(std::thread::spawn(move || names(&socket, &end)));
        }
        for (port, serve) in [(80, page as Serve), (443, alert)] {
            let listener = self.net.run(move || TcpListener::bind(("::", port)))?;
            listener.set_nonblocking(true)?;
            let end = Arc::clone(&self.end);
            self.servers.push(std::thread::spawn(move || streams(&listener, &end, serve)));
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        for server in self.servers.drain(..) {
            let _ = server.join();
        }
    }
}

/// The folders a daemon finds on the appliance.
fn prepare(root: &Path) -> std::io::Result<()> {
    for folder in
        ["run/failberry/config", "run/failberry-uplink", "data/failberry/uplink", "proc/sys/kernel/random"]
    {
        std::fs::create_dir_all(root.join(folder))?;
    }
    std::fs::write(root.join("proc/sys/kernel/random/boot_id"), format!("{BOOT}\n"))?;
    std::fs::write(root.join("run/failberry/config/uplink.toml"), TARGETS)
}

fn names(socket: &UdpSocket, end: &AtomicBool) {
    let mut buffer = [0; 512];
    while !end.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..length]) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// `web-a.…` is at operator a's address, every other name at the first one's (RFC 1035, 4.1).
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let end = 12 + question.get(12..)?.iter().position(|byte| *byte == 0)? + 5;
    let mut answer = question.get(..end)?.to_vec();
    (answer[2], answer[3]) = (answer[2] | 0x80, 0x80);
    // Of the header's counts only the question's stays.
    answer[6..12].fill(0);
    if answer[end - 4..end - 2] == [0, 1] {
        let operator =
            if question.get(13..17)? == b"web-" { question.get(17)?.wrapping_sub(b'a') + 1 } else { 1 };
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, operator]);
    }
    Some(answer)
}

fn streams(listener: &TcpListener, end: &AtomicBool, serve: Serve) {
    while !end.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            // std has no accept with a deadline.
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let ready = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(CLIENT)));
        if ready.is_ok() {
            serve(&mut stream);
        }
    }
}

fn page(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nsuccess\n");
}

/// A TLS server's alert is an answer, too (RFC 8446, 6).
fn alert(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 40]);
}
