//! The internet's servers: everything the appliance's own probes ask by default, on its real
//! addresses and with its real content, but inside the lab's namespace. So the configuration that is
//! tested is the one that is shipped.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::Namespace;
use super::clock;
use super::http::{self, Reply};
use super::zone;
use crate::error::{Context, Result};
use crate::process::Keep;

/// The web (IANA).
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// Where a VPN's other end answers: the usual port of `WireGuard`.
pub const FLOW_PORT: u16 = 51820;
/// Its address: that of `web.test`.
pub const FLOW_HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
/// Servers that only faults of a line lead to: one that takes connections and says nothing, a login
/// page, a provider's shop, a box that answers for everybody, a name server that lies.
pub const SINK_PORT: u16 = 8081;
/// See [`SINK_PORT`].
pub const PORTAL_PORT: u16 = 8082;
/// See [`SINK_PORT`].
pub const SHOP_PORT: u16 = 8083;
/// See [`SINK_PORT`].
pub const BOX_PORT: u16 = 8084;
/// See [`SINK_PORT`].
pub const LIAR_PORT: u16 = 5300;
/// What the liar says every name's address is: the login page's.
const LIE: (&str, &str) = ("192.0.2.66", "2001:db8::66");
/// How long a server that says nothing holds a connection.
const HOLD: Duration = Duration::from_secs(120);
/// How long a server waits for words.
const PATIENCE: Duration = Duration::from_secs(10);
/// RFC 8446 section 6: an alert record, fatal, `handshake_failure`. An answer in TLS as good as any:
/// who asks whether TLS gets through needs no certificate.
const TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// A machine of the internet.
#[derive(Debug)]
pub struct Host {
    /// Its names.
    pub names: &'static [&'static str],
    /// Whose it is: what dies together when a line has no transit.
    pub operator: &'static str,
    /// Its addresses.
    pub ipv4: &'static [&'static str],
    /// Its addresses.
    pub ipv6: &'static [&'static str],
}

/// A page: where, and what it says.
#[derive(Debug)]
struct Page {
    path: &'static str,
    status: u16,
    body: &'static str,
}

/// Resolvers on their public addresses: developers.cloudflare.com/1.1.1.1/ip-addresses,
/// developers.google.com/speed/public-dns/docs/using, quad9.net/service/service-addresses-and-features.
/// The pages' servers have documentation addresses: only their names are documented.
pub const HOSTS: [Host; 12] = [
    Host {
        names: &["one.one.one.one", "cloudflare-dns.com"],
        operator: "cloudflare",
        ipv4: &["1.1.1.1", "1.0.0.1"],
        ipv6: &["2606:4700:4700::1111", "2606:4700:4700::1001"],
    },
    Host {
        names: &["dns.google"],
        operator: "google",
        ipv4: &["8.8.8.8", "8.8.4.4"],
        ipv6: &["2001:4860:4860::8888", "2001:4860:4860::8844"],
    },
    Host {
        names: &["dns.quad9.net"],
        operator: "quad9",
        ipv4: &["9.9.9.9", "149.112.112.112"],
        ipv6: &["2620:fe::fe", "2620:fe::9"],
    },
    Host {
        names: &["connectivitycheck.gstatic.com", "www.gstatic.com", "clients3.google.com", "www.google.com"],
        operator: "google",
        ipv4: &["192.0.2.101"],
        ipv6: &["2001:db8::101"],
    },
    Host {
        names: &["cp.cloudflare.com", "www.cloudflare.com", "cloudflare.com"],
        operator: "cloudflare",
        ipv4: &["192.0.2.102"],
        ipv6: &["2001:db8::102"],
    },
    Host {
        names: &["detectportal.firefox.com", "www.mozilla.org"],
        operator: "mozilla",
        ipv4: &["192.0.2.103"],
        ipv6: &["2001:db8::103"],
    },
    Host {
        names: &["captive.apple.com", "www.apple.com"],
        operator: "apple",
        ipv4: &["192.0.2.104"],
        ipv6: &["2001:db8::104"],
    },
    Host {
        names: &["www.msftconnecttest.com", "ipv6.msftconnecttest.com", "www.microsoft.com"],
        operator: "microsoft",
        ipv4: &["192.0.2.105"],
        ipv6: &["2001:db8::105"],
    },
    Host {
        names: &["nmcheck.gnome.org", "network-test.debian.org"],
        operator: "gnome",
        ipv4: &["192.0.2.106"],
        ipv6: &["2001:db8::106"],
    },
    // What the appliance asks name servers for (RFC 2606 keeps the name).
    Host { names: &["example.com"], operator: "iana", ipv4: &["192.0.2.107"], ipv6: &["2001:db8::107"] },
    Host { names: &["web.test"], operator: "web", ipv4: &["192.0.2.80"], ipv6: &[] },
    Host { names: &["web6.test"], operator: "web", ipv4: &[], ipv6: &["2001:db8::80"] },
];

/// The documented answers of connectivity checks. Google: chromium.org/chromium-os/chromiumos-design-docs/
/// network-portal-detection; Mozilla: `network.captive-portal-service` in firefox's all.js; Apple:
/// support.apple.com/en-us/102554; Microsoft: learn.microsoft.com, "Network Connectivity Status
/// Indicator"; GNOME and Debian: `NetworkManager.conf(5)`, section connectivity.
const PAGES: [Page; 7] = [
    Page { path: "/generate_204", status: 204, body: "" },
    Page { path: "/success.txt", status: 200, body: "success\n" },
    Page {
        path: "/hotspot-detect.html",
        status: 200,
        body: "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>",
    },
    Page { path: "/connecttest.txt", status: 200, body: "Microsoft Connect Test" },
    Page { path: "/ncsi.txt", status: 200, body: "Microsoft NCSI" },
    Page { path: "/check_network_status.txt", status: 200, body: "NetworkManager is online\n" },
    Page { path: "/nm", status: 200, body: "NetworkManager is online\n" },
];

/// Whether an address belongs to an operator.
pub fn is_of(operator: &str, address: IpAddr) -> bool {
    HOSTS
        .iter()
        .filter(|host| host.operator == operator)
        .any(|host| host.ipv4.iter().chain(host.ipv6).any(|own| own.parse() == Ok(address)))
}

/// Whether somebody is called that.
pub fn is_operator(name: &str) -> bool {
    HOSTS.iter().any(|host| host.operator == name)
}

/// What was sent to `http://web.test/alert`, with the sender's address.
pub type Alerts = Arc<Mutex<Vec<(IpAddr, String)>>>;

/// Gives the internet its addresses and servers; they end with what is returned. Messages that come in
/// are added to `alerts`.
///
/// # Errors
/// When the kernel or a server refuses.
pub fn populate(
    internet: &Namespace,
    name_servers: &[Ipv4Addr],
    logs: &Path,
    alerts: &Alerts,
) -> Result<Vec<Keep>> {
    let addresses = HOSTS.iter().flat_map(|host| host.ipv4.iter().chain(host.ipv6));
    let further = name_servers.iter().map(ToString::to_string).chain(["2001:db8::53".to_owned()]);
    let lie = [LIE.0.to_owned(), LIE.1.to_owned()];
    let clocks = clock::ADDRESSES.iter().map(ToString::to_string);
    for address in addresses.map(ToString::to_string).chain(further).chain(lie).chain(clocks) {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        internet.ip(&format!("address add {address} dev lo{nodad}"))?;
    }
    internet.inside(|| serve(alerts))?;
    internet.inside(clock::serve)?;
    Ok(vec![name_server(internet, name_servers, logs)?, liar(internet, logs)?])
}

fn serve(alerts: &Alerts) -> Result<()> {
    let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let alerts = Arc::clone(alerts);
    http::serve(any(HTTP_PORT), move |request| {
        if request.path == "/alert" && !request.body.is_empty() {
            let mut alerts = alerts.lock().unwrap_or_else(PoisonError::into_inner);
            alerts.push((request.from, request.body.clone()));
        }
        page(request)
    })?;
    http::serve(any(PORTAL_PORT), |_| moved("http://login.portal.test/"))?;
    http::serve(any(SHOP_PORT), |_| moved("http://topup.carrier.test/"))?;
    let welcome = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nWelcome\n";
    accept(any(BOX_PORT), move |stream| said(stream, welcome.as_bytes()))?;
    accept(any(HTTPS_PORT), |stream| said(stream, &TLS_ALERT))?;
    accept(any(SINK_PORT), |stream| {
        let _ = stream.set_read_timeout(Some(HOLD));
        let _ = std::io::copy(&mut &*stream, &mut std::io::sink());
    })?;
    // A datagram's answer leaves by the address that was asked only if the socket has that address.
    flow((FLOW_HOST, FLOW_PORT).into())
}

fn page(request: &http::Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if path == "/large" {
        return http::large(query);
    }
    let tells_apart = request.host.starts_with("cp.cloudflare.com");
    let path = if tells_apart { "/generate_204" } else { path };
    match PAGES.iter().find(|page| page.path == path) {
        Some(page) => Reply::text(page.status, page.body),
        None => Reply::text(200, &format!("you come from {}\n", request.from)),
    }
}

fn moved(to: &str) -> Reply {
    Reply { location: Some(to.to_owned()), ..Reply::text(302, "<html>log in first</html>\n") }
}

/// Hands every connection to `serve`, each in a thread of its own.
fn accept(address: SocketAddr, serve: impl Fn(&TcpStream) + Clone + Send + 'static) -> Result<()> {
    let listener = TcpListener::bind(address).context(format!("listen on {address}"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(&stream));
        }
    });
    Ok(())
}

/// Waits for the first words and answers with these, whatever they were.
fn said(mut stream: &TcpStream, answer: &[u8]) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    if matches!(stream.read(&mut [0; 2048]), Ok(1..)) {
        let _ = stream.write_all(answer);
    }
}

/// The VPN's other end: every packet goes back to where it came from, with that address behind it.
fn flow(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address).context(format!("listen on {address}"))?;
    thread::spawn(move || {
        let mut packet = [0; 1500];
        loop {
            // An ICMP error of an earlier answer shows here; the next packet may be well.
            let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
            let mut answer = packet[..length].to_vec();
            answer.extend(from.ip().to_canonical().to_string().as_bytes());
            let _ = socket.send_to(&answer, from);
        }
    });
    Ok(())
}

fn name_server(internet: &Namespace, own: &[Ipv4Addr], logs: &Path) -> Result<Keep> {
    let mut command = dnsmasq(internet);
    command.args(everywhere()).arg("--local=/test/");
    command.arg(format!("--server=/{}/{}", zone::ZONE, zone::ZONE_SERVER));
    for name in own.iter().enumerate() {
        command.arg(format!("--host-record=ns{}.test,{}", name.0 + 1, name.1));
    }
    for host in &HOSTS {
        let addresses: Vec<&str> =
            host.ipv4.iter().take(1).chain(host.ipv6.iter().take(1)).copied().collect();
        for name in host.names {
            command.arg(format!("--host-record={name},{}", addresses.join(",")));
        }
    }
    Keep::logged(&mut command, &logs.join("internet-dns.log"))
}

fn liar(internet: &Namespace, logs: &Path) -> Result<Keep> {
    let mut command = dnsmasq(internet);
    command.args(everywhere()).arg(format!("--port={LIAR_PORT}"));
    command.args([format!("--address=/#/{}", LIE.0), format!("--address=/#/{}", LIE.1)]);
    Keep::logged(&mut command, &logs.join("internet-liar.log"))
}

/// On every address there is, and for everybody: without any option about interfaces dnsmasq answers
/// its own networks only (dnsmasq(8), --local-service).
fn everywhere() -> [&'static str; 1] {
    ["--except-interface=nowhere"]
}

/// dnsmasq in a namespace, without anything of the builder's.
pub(crate) fn dnsmasq(namespace: &Namespace) -> Command {
    let mut command = namespace.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"]);
    command.args(["--user=root", "--group=root", "--pid-file", "--log-facility=-", "--log-queries"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_belong_to_their_operators() {
        assert!(is_of("google", "8.8.4.4".parse().unwrap()));
        assert!(is_of("google", "192.0.2.101".parse().unwrap()));
        assert!(is_of("quad9", "2620:fe::fe".parse().unwrap()));
        assert!(!is_of("quad9", "8.8.8.8".parse().unwrap()));
        assert!(is_operator("mozilla") && !is_operator("mozila"));
    }

    #[test]
    fn every_address_is_one() {
        for host in &HOSTS {
            assert!(host.ipv4.iter().all(|address| address.parse::<Ipv4Addr>().is_ok()), "{:?}", host.names);
            assert!(host.ipv6.iter().all(|address| address.parse::<Ipv6Addr>().is_ok()), "{:?}", host.names);
        }
    }

    #[test]
    fn connectivity_pages_say_what_is_documented() {
        let ask = |host: &str, path: &str| {
            page(&http::Request {
                host: host.into(),
                path: path.into(),
                range: None,
                from: Ipv4Addr::LOCALHOST.into(),
                body: String::new(),
            })
        };
        assert_eq!(ask("connectivitycheck.gstatic.com", "/generate_204").status, 204);
        assert_eq!(ask("cp.cloudflare.com", "/").status, 204);
        assert_eq!(ask("detectportal.firefox.com", "/success.txt").body, b"success\n");
        assert_eq!(ask("web.test", "/").body, b"you come from 127.0.0.1\n");
    }
}
