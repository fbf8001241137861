//! Every fault of a line, from the view of a plain client behind it: it does what the catalogue says,
//! nothing else, and is gone when it is mended.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use lab::client::{Client, Habit};
use lab::line::catalogue::CATALOGUE;
use lab::line::{Direction, Kind, Line, LineFault, Mended};
use lab::net::http::{self, Url};
use lab::net::{Namespace, dns, internet};
use lab::process;
use lab::stop::Stop;
use lab::world::{Plan, World};

/// The world's servers need a moment.
const SOON: Duration = Duration::from_secs(10);
/// One try: everything in the lab answers within milliseconds.
const TRY: Duration = Duration::from_millis(600);
/// A `ClientHello`'s beginning (RFC 8446 section 5.1); the lab's server looks no further.
const HELLO: [u8; 5] = [22, 3, 1, 0, 0];

/// What a client sees of the internet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct View {
    ping: bool,
    ping6: bool,
    /// The address of `web.test` by a public resolver.
    name: Option<String>,
    /// Status of Google's connectivity page.
    page: Option<u16>,
    /// The page of an operator nobody else belongs to.
    mozilla: Option<u16>,
    tls: Tls,
    /// A packet of a VPN comes back.
    flow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tls {
    /// An answer in TLS.
    Speaks,
    /// The port opens, and there is no TLS.
    Opens,
    #[default]
    Closed,
}

fn sound() -> View {
    View {
        ping: true,
        ping6: true,
        name: Some("192.0.2.80".to_owned()),
        page: Some(204),
        mozilla: Some(200),
        tls: Tls::Speaks,
        flow: true,
    }
}

/// Asks everything once, from the namespace behind the line.
fn view(from: &Namespace) -> View {
    std::thread::scope(|scope| {
        let ask = |work: &'static (dyn Fn() -> bool + Sync)| scope.spawn(move || from.inside(|| Ok(work())));
        let ping6 = scope.spawn(|| ping(from, "2620:fe::fe"));
        let flow = ask(&flow);
        let name = scope.spawn(|| from.inside(|| dns::resolve(([9, 9, 9, 9], 53).into(), "web.test", TRY)));
        let page =
            scope.spawn(|| status(from, "192.0.2.101", "connectivitycheck.gstatic.com", "/generate_204"));
        let mozilla = scope.spawn(|| status(from, "192.0.2.103", "detectportal.firefox.com", "/success.txt"));
        let tls = scope.spawn(|| from.inside(|| Ok(tls())));
        View {
            ping: ping(from, "8.8.8.8"),
            ping6: ping6.join().unwrap(),
            name: name.join().unwrap().ok().map(|address| address.to_string()),
            page: page.join().unwrap(),
            mozilla: mozilla.join().unwrap(),
            tls: tls.join().unwrap().unwrap(),
            flow: flow.join().unwrap().unwrap(),
        }
    })
}

fn ping(from: &Namespace, address: &str) -> bool {
    let mut command = from.command("ping");
    command.args(["-n", "-c", "1", "-W", "0.6", address]);
    process::output(&mut command, SOON).is_ok_and(|output| output.status.success())
}

fn status(from: &Namespace, address: &str, host: &str, path: &str) -> Option<u16> {
    let url = Url { host: host.to_owned(), port: 80, path: path.to_owned() };
    from.inside(|| http::get(address.parse().expect("an address"), &url, TRY)).ok().map(|page| page.status)
}

fn tls() -> Tls {
    let address = SocketAddr::from(([1, 1, 1, 1], 443));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, TRY) else { return Tls::Closed };
    stream.set_read_timeout(Some(TRY)).expect("a limit");
    let mut first = [0];
    let answered = stream.write_all(&HELLO).is_ok() && stream.read_exact(&mut first).is_ok();
    // RFC 8446 section 5.1: alert or handshake.
    if answered && [21, 22].contains(&first[0]) { Tls::Speaks } else { Tls::Opens }
}

fn flow() -> bool {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.set_read_timeout(Some(TRY)).expect("a limit");
    let there = SocketAddr::from((internet::FLOW_HOST, internet::FLOW_PORT));
    socket.send_to(b"hello", there).is_ok() && matches!(socket.recv(&mut [0; 64]), Ok(5..))
}

fn fault(rest: &str) -> LineFault {
    #[derive(serde::Deserialize)]
    struct File {
        fault: LineFault,
    }
    toml::from_str::<File>(&format!("fault = {{ {rest} }}")).expect(rest).fault
}

/// The wired line seen from the client, the cellular one from the carrier's subscribers.
fn world() -> (World, tempfile::TempDir) {
    let logs = tempfile::tempdir().expect("a folder");
    let world = World::create(logs.path(), Plan { ipv6: true, ..Plan::default() }).expect("a world");
    world.client.ip("address add fd77::10/64 dev eth0 nodad").expect("an address");
    world.client.ip("-6 route add default via fd77::1").expect("a route");
    let soon = |from: &Namespace| {
        let seen = Stop::default().wait("a sound line", SOON, || Ok((view(from) == sound()).then_some(())));
        seen.unwrap_or_else(|error| panic!("{error}: {:?}", view(from)));
    };
    soon(&world.client);
    soon(&world.carrier);
    (world, logs)
}

/// Every fault that shows in a [`View`], and how.
fn faults() -> Vec<(&'static str, View)> {
    let (nothing, all) = (View::default(), sound());
    let no_http = View { page: None, mozilla: None, ..all.clone() };
    let walled = View { tls: Tls::Closed, flow: false, ..no_http.clone() };
    let redirected =
        View { page: Some(302), mozilla: Some(302), tls: Tls::Closed, flow: false, ..all.clone() };
    let lie = Some("192.0.2.66".to_owned());
    vec![
        ("name = 'down'", nothing.clone()),
        ("name = 'loss', percent = 100", nothing.clone()),
        ("name = 'asymmetric', direction = 'up'", nothing.clone()),
        ("name = 'asymmetric', direction = 'down'", nothing.clone()),
        ("name = 'ipv4'", View { ping6: true, ..nothing.clone() }),
        ("name = 'ipv6'", View { ping6: false, ..all.clone() }),
        ("name = 'dns'", View { name: None, ..all.clone() }),
        ("name = 'http'", no_http.clone()),
        ("name = 'http', how = 'reset'", no_http.clone()),
        ("name = 'http', how = 'drop'", no_http),
        ("name = 'tls'", View { tls: Tls::Opens, ..all.clone() }),
        ("name = 'tls', how = 'reset'", View { tls: Tls::Closed, ..all.clone() }),
        ("name = 'tls', how = 'drop'", View { tls: Tls::Closed, ..all.clone() }),
        ("name = 'transit', operators = ['google']", View { ping: false, page: None, ..all.clone() }),
        ("name = 'quota-wall'", walled.clone()),
        ("name = 'quota-wall', how = 'drop'", walled),
        ("name = 'quota-wall', how = 'redirect'", redirected.clone()),
        ("name = 'portal'", View { name: lie.clone(), ..redirected }),
        (
            "name = 'gateway-answers-all'",
            View { name: lie, page: Some(200), mozilla: Some(200), tls: Tls::Opens, ..all },
        ),
    ]
}

fn every_fault_of(line: Line, name: &str) {
    let (world, _logs) = world();
    let from = || if line == Line::Wired { &*world.client } else { &world.carrier };
    let mut seen: Vec<Kind> = vec![Kind::Latency];
    for (rest, wanted) in faults() {
        let fault = fault(&format!("line = '{name}', {rest}"));
        seen.push(fault.kind);
        world.fail(&fault).expect(rest);
        assert_eq!(view(from()), wanted, "{name}: {rest}");
        // The other line knows nothing of it.
        let other = if line == Line::Wired { &world.carrier } else { &*world.client };
        assert_eq!(view(other), sound(), "{name}: {rest}: the other line");
        world.mend(&Mended { line, name: Some(fault.kind) }).expect(rest);
        assert_eq!(view(from()), sound(), "{name}: after {rest}");
    }
    for row in &CATALOGUE {
        assert!(seen.contains(&row.kind), "{} is not tried", row.name);
    }
    assert!(world.mend(&Mended { line, name: None }).is_err(), "nothing was wrong");
}

#[test]
fn each_fault_of_the_wired_line_is_what_a_client_sees_and_nothing_else() {
    every_fault_of(Line::Wired, "wired");
}

#[test]
fn each_fault_of_the_cellular_line_is_what_a_subscriber_sees_and_nothing_else() {
    every_fault_of(Line::Cellular, "cellular");
}

#[test]
fn latency_goes_both_ways_and_two_faults_add_up() {
    let (world, _logs) = world();
    world.fail(&fault("line = 'wired', name = 'latency', milliseconds = 100")).expect("latency");
    let begun = Instant::now();
    assert!(world.client.inside(|| Ok(flow())).expect("an answer"));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    world.fail(&fault("line = 'wired', name = 'dns'")).expect("dns");
    assert_eq!(view(&world.client).name, None);
    world.mend(&Mended { line: Line::Wired, name: Some(Kind::Latency) }).expect("mended");
    let begun = Instant::now();
    assert!(world.client.inside(|| Ok(flow())).expect("an answer"));
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(view(&world.client).name, None, "the other fault stays");
}

#[test]
fn a_box_that_answers_for_all_answers_for_addresses_nobody_has() {
    let (world, _logs) = world();
    let nobody = "192.0.2.222";
    assert!(!ping(&world.client, nobody));
    world.fail(&fault("line = 'wired', name = 'gateway-answers-all'")).expect("a fault");
    assert!(ping(&world.client, nobody));
    assert_eq!(status(&world.client, nobody, "nobody.test", "/"), Some(200));
    world.mend(&Mended { line: Line::Wired, name: None }).expect("mended");
    assert!(!ping(&world.client, nobody));
}

#[test]
fn a_vpn_keeps_its_socket_through_an_outage_and_knows_how_long_it_was() {
    let (world, _logs) = world();
    let flow = Client::begin(Habit::Flow, &world.client, Command::new("false")).expect("a client");
    let stop = Stop::default();
    let answers = |least: u64| {
        stop.wait("answers", SOON, || Ok((flow.seen().received >= least).then_some(()))).expect("answers");
    };
    answers(5);
    let outage = Duration::from_secs(1);
    world.fail(&fault("line = 'wired', name = 'down'")).expect("a fault");
    stop.wait("silence", SOON, || Ok((flow.longest_gap() > outage).then_some(()))).expect("silence");
    let before = flow.seen();
    world.mend(&Mended { line: Line::Wired, name: None }).expect("mended");
    answers(before.received + 5);
    let gap = flow.longest_gap();
    assert!(gap > outage && gap < 3 * outage, "{gap:?}");
    assert_eq!(flow.seen().from, Some(lab::world::WIRED));
    flow.forget();
    answers(flow.seen().received + 5);
    assert!(flow.longest_gap() < outage, "{:?}", flow.longest_gap());
}

#[test]
fn a_page_that_broke_off_is_taken_up_in_the_middle() {
    let (world, _logs) = world();
    let ask = "GET /large?bytes=1000 HTTP/1.1\r\nHost: web.test\r\nRange: bytes=990-\r\n\r\n";
    let answer = world.client.inside(|| {
        let mut stream = TcpStream::connect((internet::FLOW_HOST, 80)).expect("a connection");
        stream.write_all(ask.as_bytes()).expect("a question");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        Ok(answer)
    });
    let answer = answer.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 206 "), "{}", String::from_utf8_lossy(&answer));
    let rest: Vec<u8> = (990..1000).map(http::large_byte).collect();
    assert!(answer.ends_with(&rest));
    assert!(answer.windows(4).position(|end| end == b"\r\n\r\n").is_some_and(|at| answer.len() == at + 14));
}

#[test]
fn a_line_knows_what_went_over_it() {
    let (world, _logs) = world();
    let line = world.lines.get(Line::Wired);
    let before = (line.counted(Direction::Up), line.counted(Direction::Down));
    assert!(world.client.inside(|| Ok(flow())).expect("an answer"));
    let (up, down) = (line.counted(Direction::Up), line.counted(Direction::Down));
    // IPv4 and UDP headers and the word; the answer has the visitor's address behind it.
    let address = IpAddr::V4(lab::world::WIRED).to_string().len() as u64;
    assert_eq!((up.packets - before.0.packets, up.bytes - before.0.bytes), (1, 33));
    assert_eq!((down.packets - before.1.packets, down.bytes - before.1.bytes), (1, 33 + address));
    assert!(line.quiet_for(internet::FLOW_PORT).expect("something went there") < SOON);
    assert_eq!(line.quiet_for(4), None);
}
