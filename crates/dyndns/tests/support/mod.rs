//! A web server that does what a test says, in the clear or with TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a server heard: the head and the body, and who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) from: SocketAddr,
}

/// A server under way; its threads end with the test's process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    /// Listens at `address` and serves each request with what `answer` writes.
    pub(crate) fn new(
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Heard, &mut dyn Write) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let server = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let (own, answer) = (server.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, answer, tls) = (own.clone(), Arc::clone(&answer), tls.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let Ok(from) = stream.peer_addr() else { return };
                    match tls {
                        None => own.serve(stream, from, &*answer),
                        Some(tls) => {
                            let connection = ServerConnection::new(tls).unwrap();
                            own.serve(StreamOwned::new(connection, stream), from, &*answer);
                        }
                    }
                });
            }
        });
        server
    }

    fn serve<S: Read + Write>(
        &self,
        mut stream: S,
        from: SocketAddr,
        answer: &dyn Fn(&Heard, &mut dyn Write),
    ) {
        let Some(text) = read(&mut stream) else { return };
        let heard = Heard { text, from };
        self.heard.lock().unwrap().push(heard.clone());
        answer(&heard, &mut stream);
        // A client that hangs up is part of some tests.
        let _ = stream.flush();
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn read(stream: &mut impl Read) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Writes an answer with its length.
pub(crate) fn say(stream: &mut dyn Write, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
