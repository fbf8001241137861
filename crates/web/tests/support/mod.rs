//! Two lines, each with a name server and a web server of its own beyond it.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use testnet::Namespace;

/// No server of a test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Answers A questions with `address`, or says `NXDOMAIN` for names that begin with `no`.
fn name_server(at: &str, address: [u8; 4]) {
    let socket = UdpSocket::bind(at).unwrap();
    thread::spawn(move || {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            let (none, four) = (buffer[13] == b'n', buffer[length - 3] == 1);
            answer[2] |= 0x80;
            answer[3] = if none { 3 } else { 0 };
            if !none && four {
                answer[7] = 1;
                answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
                answer.extend(address);
            }
            // A forgery first: another question's answer is not believed.
            let mut forged = answer.clone();
            forged[0] ^= 0xff;
            let _ = socket.send_to(&forged, from);
            let _ = socket.send_to(&answer, from);
        }
    });
}

/// Says its name and whom it sees.
fn web_server(at: &str, name: &'static str) {
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let from = stream.peer_addr().unwrap().ip();
            let _ = stream.read(&mut [0; 4096]);
            let body = format!("{name} {from}");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
}

/// The appliance, and beyond each of its lines another world under the same name.
pub(crate) fn world() -> (Namespace, [Namespace; 2]) {
    let pi = Namespace::new();
    let worlds = [("eth0", "192.0.2", "wired", 100), ("ppp0", "198.51.100", "cellular", 200)];
    let worlds = worlds.map(|(interface, net, name, metric)| {
        let world = Namespace::new();
        pi.cable(interface, &world, "far");
        pi.sh(&format!("ip address add {net}.2/24 dev {interface}"));
        pi.sh(&format!("ip route add default via {net}.1 dev {interface} metric {metric}"));
        world.sh(&format!("ip address add {net}.1/24 dev far"));
        let own: std::net::Ipv4Addr = format!("{net}.1").parse().unwrap();
        world.run(move || {
            name_server(&format!("{own}:53"), own.octets());
            web_server(&format!("{own}:80"), name);
        });
        world
    });
    (pi, worlds)
}
