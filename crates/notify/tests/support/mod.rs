//! Servers on loopback that take, hang, lie and refuse, and certificates made on the spot.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a server heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Record {
    all: Mutex<Vec<Heard>>,
    more: Condvar,
}

/// A server under way; its thread ends with the test's process.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    record: Arc<Record>,
}

impl Sink {
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.record.all.lock().unwrap().clone()
    }

    /// Waits until it has heard so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Heard> {
        let end = Instant::now() + PATIENCE;
        let mut all = self.record.all.lock().unwrap();
        while all.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} messages within {PATIENCE:?}", all.len());
            all = self.record.more.wait_timeout(all, left).unwrap().0;
        }
        all.clone()
    }

    fn add(&self, heard: Heard) -> usize {
        let mut all = self.record.all.lock().unwrap();
        all.push(heard);
        self.record.more.notify_all();
        all.len()
    }
}

/// A stream, with or without TLS.
pub(crate) trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

fn listen(serve: impl Fn(TcpStream, &Sink) -> io::Result<()> + Send + Sync + 'static) -> Sink {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink = Sink { address: listener.local_addr().unwrap(), record: Arc::default() };
    let (serve, own) = (Arc::new(serve), sink.clone());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (serve, own) = (Arc::clone(&serve), own.clone());
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // A client that hangs up is part of some tests.
            thread::spawn(move || drop(serve(stream, &own)));
        }
    });
    sink
}

/// An HTTP server; `answer` gets the stream and the number of the request, from 1.
pub(crate) fn http(
    tls: Option<Arc<ServerConfig>>,
    answer: impl Fn(&mut dyn Stream, usize) -> io::Result<()> + Send + Sync + 'static,
) -> Sink {
    listen(move |stream, sink| {
        let mut stream = secured(stream, tls.as_ref())?;
        let heard = request(&mut stream)?;
        let number = sink.add(heard);
        answer(&mut *stream, number)?;
        stream.flush()
    })
}

/// Answers with a status and nothing else.
pub(crate) fn status(stream: &mut dyn Stream, line: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn secured(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Box<dyn Stream>> {
    Ok(match tls {
        None => Box::new(stream),
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, stream))
        }
    })
}

fn request(stream: &mut dyn Stream) -> io::Result<Heard> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Heard { head, body: String::from_utf8_lossy(&body).into_owned() })
}

/// How a mail server behaves.
#[derive(Clone, Default)]
pub(crate) struct MailServer {
    /// Whether it offers STARTTLS, with this.
    pub(crate) starttls: Option<Arc<ServerConfig>>,
    /// Whether it speaks TLS from the start.
    pub(crate) implicit: Option<Arc<ServerConfig>>,
    /// The only login it takes.
    pub(crate) login: Option<(String, String)>,
    /// What it says to every recipient.
    pub(crate) recipient: Option<&'static str>,
}

/// A mail server (RFC 5321, 3207, 4954) that records dialogue and mail: the head is the dialogue, each
/// line marked `tls` or `clear`, without what TLS itself says.
pub(crate) fn mail(server: MailServer) -> Sink {
    listen(move |stream, sink| {
        let secure = server.implicit.is_some();
        let stream = secured(stream, server.implicit.as_ref())?;
        let mut heard = Heard::default();
        let done = converse(stream, &server, secure, &mut heard);
        sink.add(heard);
        done
    })
}

fn converse(stream: Box<dyn Stream>, server: &MailServer, secure: bool, heard: &mut Heard) -> io::Result<()> {
    let mut stream = BufReader::new(Both(stream));
    if !heard.head.contains("STARTTLS") {
        reply(&mut stream, "220 mail.test")?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let mark = if secure { "tls" } else { "clear" };
        heard.head.extend([mark, " ", line, "\n"]);
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => greet(&mut stream, server, secure)?,
            "STARTTLS" => {
                reply(&mut stream, "220 go")?;
                let config = server.starttls.clone().ok_or(io::ErrorKind::InvalidInput)?;
                let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                let inner = stream.into_inner().0;
                let secured: Box<dyn Stream> = Box::new(StreamOwned::new(connection, inner));
                return converse(secured, server, true, heard);
            }
            "AUTH" => {
                let (user, password) = server.login.clone().unwrap_or_default();
                // RFC 4616: nothing, user and password, parted by NUL, in base64.
                let right = line.ends_with(&base64(format!("\0{user}\0{password}").as_bytes()));
                reply(&mut stream, if right { "235 welcome" } else { "535 5.7.8 no such login" })?;
            }
            "RCPT" => reply(&mut stream, server.recipient.unwrap_or("250 ok"))?,
            "DATA" => {
                reply(&mut stream, "354 go on")?;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line)?;
                    if line == ".\r\n" || line.is_empty() {
                        break;
                    }
                    heard.body.push_str(&line);
                }
                reply(&mut stream, "250 queued")?;
            }
            "QUIT" => return reply(&mut stream, "221 bye"),
            _ => reply(&mut stream, "250 ok")?,
        }
    }
}

fn greet(stream: &mut BufReader<Both>, server: &MailServer, secure: bool) -> io::Result<()> {
    let mut lines = vec!["250-mail.test"];
    if server.starttls.is_some() && !secure {
        lines.push("250-STARTTLS");
    }
    if server.login.is_some() {
        // Also in the clear, as careless servers do: the client must not be tempted.
        lines.push("250-AUTH PLAIN LOGIN");
    }
    lines.push("250 8BITMIME");
    reply(stream, &lines.join("\r\n"))
}

fn reply(stream: &mut BufReader<Both>, text: &str) -> io::Result<()> {
    let stream = &mut stream.get_mut().0;
    write!(stream, "{text}\r\n")?;
    stream.flush()
}

struct Both(Box<dyn Stream>);

impl Read for Both {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * n) & 63) as usize] as char;
            out.push(if n <= chunk.len() { letter } else { '=' });
        }
    }
    out
}

/// From and to when a certificate is valid.
pub(crate) const CURRENT: [&str; 2] = ["20240101000000Z", "20990101000000Z"];

/// An authority and a server certificate for `localhost`, made by openssl.
pub(crate) struct Authority {
    dir: PathBuf,
    pub(crate) pem: PathBuf,
}

impl Authority {
    pub(crate) fn new(dir: &Path) -> Self {
        let this = Self { dir: dir.to_owned(), pem: dir.join("ca.pem") };
        this.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        this
    }

    /// A server's configuration with a certificate for `name`.
    pub(crate) fn server(&self, name: &str, valid: [&str; 2]) -> Arc<ServerConfig> {
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &csr,
        ]);
        fs::write(self.dir.join("ext"), format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n"))
            .unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-not_before",
            valid[0],
            "-not_after",
            valid[1],
            "-extfile",
            "ext",
            "-out",
            &pem,
        ]);
        let chain =
            CertificateDer::pem_file_iter(self.dir.join(pem)).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(self.dir.join(key)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(&self.dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
