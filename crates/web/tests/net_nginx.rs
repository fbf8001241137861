//! A real web server with certificates of every kind: nginx, in a network of its own.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sysio::Runner;
use testnet::Namespace;
use web::{Cause, Http, LARGEST, Options, Phase, Visit, visit};

/// Longer than anything that works takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// When the good certificates end: 2049-12-31T23:59:59Z.
const END: (&str, u64) = ("20491231235959Z", 2_524_607_999);

fn openssl(dir: &Path, line: &str) {
    let words = line.replace("DIR", &dir.display().to_string());
    Runner::new("openssl", words.split_whitespace(), PATIENCE).run().unwrap();
}

/// An authority, and certificates of it: good, of another name, expired; and one of another authority.
fn certificates(dir: &Path) {
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for authority in ["ca", "other"] {
        openssl(
            dir,
            &format!(
                "req -x509 {curve} -days 3650 -subj /CN={authority} -keyout DIR/{authority}.key -out DIR/{authority}.pem"
            ),
        );
    }
    openssl(
        dir,
        &format!(
            "req -x509 {curve} -days 30 -subj /CN=box -addext subjectAltName=IP:127.0.0.1 -keyout DIR/itself.key -out DIR/itself.pem"
        ),
    );
    openssl(
        dir,
        &format!(
            "req -config /dev/null -x509 {curve} -days 30 -subj /CN=box -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE -keyout DIR/alone.key -out DIR/alone.pem"
        ),
    );
    for (name, authority, san, dates) in [
        ("good", "ca", "IP:127.0.0.1", format!("-not_after {}", END.0)),
        ("wrong", "ca", "DNS:login.example", "-days 30".to_owned()),
        (
            "expired",
            "ca",
            "IP:127.0.0.1",
            "-not_before 20200101000000Z -not_after 20200201000000Z".to_owned(),
        ),
        ("early", "ca", "IP:127.0.0.1", "-not_before 20480101000000Z -not_after 20490101000000Z".to_owned()),
        ("untrusted", "other", "IP:127.0.0.1", "-days 30".to_owned()),
    ] {
        openssl(dir, &format!("req {curve} -subj /CN=server -keyout DIR/{name}.key -out DIR/{name}.csr"));
        fs::write(dir.join("ext"), format!("subjectAltName={san}\nbasicConstraints=CA:FALSE\n")).unwrap();
        openssl(
            dir,
            &format!(
                "x509 -req -in DIR/{name}.csr -CA DIR/{authority}.pem -CAkey DIR/{authority}.key {dates} -extfile DIR/ext -out DIR/{name}.pem"
            ),
        );
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    let tls = |port: u16, name: &str, protocol: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {dir}/{name}.pem; \
             ssl_certificate_key {dir}/{name}.key; ssl_protocols {protocol}; root {dir}/pages; \
             location = / {{ return 200 \"$ssl_protocol\"; }} \
             location = /missing {{ return 404 \"nothing here\"; }} location = /broken {{ return 500; }} \
             location = /away {{ return 302 https://127.0.0.1:1/elsewhere; }} }}\n"
        )
    };
    let servers = [
        tls(4433, "good", "TLSv1.3"),
        tls(4432, "good", "TLSv1.2"),
        tls(4434, "wrong", "TLSv1.2 TLSv1.3"),
        tls(4435, "expired", "TLSv1.2 TLSv1.3"),
        tls(4436, "early", "TLSv1.2 TLSv1.3"),
        tls(4437, "untrusted", "TLSv1.2 TLSv1.3"),
        tls(4438, "itself", "TLSv1.2 TLSv1.3"),
        tls(4439, "alone", "TLSv1.2 TLSv1.3"),
        "server { listen 127.0.0.1:8080; return 200 plain; }\n".to_owned(),
    ];
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/tmp-{kind}; "))
        .concat();
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{}}\nhttp {{ access_log off; {temporary}\n{} }}\n",
        servers.concat()
    )
}

/// nginx, its network and its authority's certificate.
struct House {
    dir: tempfile::TempDir,
    net: Namespace,
    nginx: Child,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        fs::create_dir(dir.path().join("pages")).unwrap();
        fs::write(dir.path().join("pages/large"), vec![b'x'; 10_000_000]).unwrap();
        fs::write(dir.path().join("nginx.conf"), configuration(dir.path())).unwrap();
        let net = Namespace::new();
        let path = dir.path().to_owned();
        let nginx = net.run(move || {
            let nginx = Command::new("nginx")
                .args(["-p".as_ref(), path.as_os_str(), "-c".as_ref(), path.join("nginx.conf").as_os_str()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let begin = Instant::now();
            while TcpStream::connect(("127.0.0.1", 8080)).is_err() {
                let log = || fs::read_to_string(path.join("error.log")).unwrap_or_default();
                assert!(begin.elapsed() < PATIENCE, "nginx does not answer: {}", log());
                thread::sleep(Duration::from_millis(20));
            }
            nginx
        });
        Self { dir, net, nginx }
    }

    fn ask(&self, url: &str) -> Visit {
        let roots =
            ["ca.pem", "itself.pem", "alone.pem"].map(|name| fs::read(self.dir.path().join(name)).unwrap());
        self.ask_with(url, roots.concat())
    }

    /// With these certificates of one's own.
    fn ask_with(&self, url: &str, roots: Vec<u8>) -> Visit {
        let url = url.to_owned();
        self.net.run(move || {
            let request = Http { method: "GET", url, headers: Vec::new(), body: Vec::new() };
            visit(&request, &Options { own_roots: Some(&roots), ..Options::new("test") })
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.nginx.kill().unwrap();
        self.nginx.wait().unwrap();
    }
}

#[test]
fn answers_of_every_status_carry_their_times_in_both_versions_of_tls() {
    let house = House::new();
    for (port, version) in [(4433, "TLSv1.3"), (4432, "TLSv1.2")] {
        for (path, status, body) in
            [("", 200, version), ("missing", 404, "nothing here"), ("broken", 500, "Internal Server Error")]
        {
            let seen = house.ask(&format!("https://127.0.0.1:{port}/{path}"));
            let reply = seen.outcome.unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!((reply.status, reply.cut), (status, None));
            assert!(String::from_utf8_lossy(&reply.body).contains(body), "{version} {path}");
            let times = seen.times;
            let parts = [times.connect, times.tls, times.first_byte].map(Option::unwrap);
            assert!(times.dns.is_none(), "there was no name");
            assert!(parts.iter().all(|part| !part.is_zero()), "{parts:?}");
            assert!(parts.iter().sum::<Duration>() <= times.total && times.total < PATIENCE, "{times:?}");
            assert_eq!(seen.certificate_until, Some(END.1));
            assert_eq!(seen.address.unwrap().to_string(), format!("127.0.0.1:{port}"));
        }
    }
}

#[test]
fn every_fault_of_a_certificate_is_named_and_keeps_the_times_before_it() {
    let house = House::new();
    for (port, cause) in [
        (4434, Cause::WrongName),
        (4435, Cause::Expired),
        (4436, Cause::NotYetValid),
        (4437, Cause::UnknownIssuer),
        (4438, Cause::AuthoritysOwn),
        (8080, Cause::NoTls),
    ] {
        let seen = house.ask(&format!("https://127.0.0.1:{port}/"));
        let failure = seen.outcome.expect_err("a fault");
        assert_eq!((failure.phase, failure.cause), (Phase::Tls, cause), "{failure}");
        assert!(seen.times.connect.is_some() && seen.times.tls.is_none() && seen.times.first_byte.is_none());
    }
}

#[test]
fn a_redirection_is_told_and_not_followed() {
    let house = House::new();
    let reply = house.ask("https://127.0.0.1:4433/away").outcome.unwrap();
    assert_eq!((reply.status, reply.location.as_deref()), (302, Some("https://127.0.0.1:1/elsewhere")));
}

#[test]
fn of_a_large_page_the_beginning_is_read() {
    let house = House::new();
    let reply = house.ask("https://127.0.0.1:4433/large").outcome.unwrap();
    assert_eq!((reply.status, reply.body.len() as u64, reply.cut), (200, LARGEST, None));
}

#[test]
fn the_first_byte_does_not_wait_for_a_delayed_acknowledgement() {
    /// Linux, `TCP_DELACK_MIN`: what Nagle's algorithm waits for when a second small segment follows.
    const DELAYED: Duration = Duration::from_millis(40);
    let house = House::new();
    for port in [4433, 4432] {
        let asked =
            (0..5).map(|_| house.ask(&format!("https://127.0.0.1:{port}/")).times.first_byte.unwrap());
        // The fastest of some: a busy machine is late now and then.
        let fastest = asked.min().unwrap();
        assert!(fastest < DELAYED / 2, "{port}: {fastest:?}");
    }
}

#[test]
fn a_certificate_that_stands_alone_is_trusted_by_itself() {
    let house = House::new();
    assert_eq!(house.ask("https://127.0.0.1:4439/").outcome.map(|reply| reply.status), Ok(200));
}

#[test]
fn a_file_of_ones_own_certificates_without_any_is_told_and_breaks_nothing_else() {
    let house = House::new();
    for nonsense in [&b"nonsense"[..], b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        let failure =
            house.ask_with("https://127.0.0.1:4433/", nonsense.to_vec()).outcome.expect_err("no root");
        assert_eq!(failure.cause, Cause::UnknownIssuer);
        assert!(failure.to_string().contains("holds none"), "{failure}");
    }
}
