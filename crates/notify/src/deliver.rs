//! The child process: one message or one batch of numbers, one answer, the end.
//!
//! See crate `courier` for why, and for how jobs and answers travel.

use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysio::{Root, file};

use crate::channel;
use crate::outbox::Outcome;
use crate::outgoing::Outgoing;
use crate::settings::Target;

/// The word that makes this binary the child.
pub const WORD: &str = "deliver";
/// Certificates of one's own, trusted besides the public ones.
pub const OWN_ROOTS: &str = "/data/failberry/notify/ca.pem";
/// Some dozens of certificates.
const LARGEST_ROOTS: u64 = 128 * 1024;
/// A Graphite server stands in the house or close by.
const GRAPHITE: Duration = Duration::from_secs(8);

/// What the child is to do.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// Deliver a message.
    Message {
        /// How.
        target: Target,
        /// What.
        message: Box<Outgoing>,
    },
    /// Push numbers in Graphite's plaintext protocol.
    Numbers {
        /// Where to.
        host: String,
        /// Its port.
        port: u16,
        /// Lines of path, value and time.
        lines: String,
    },
}

/// The child's whole life.
pub fn main(root: &Root) {
    courier::serve(|job: Result<Job, String>| match job {
        Ok(job) => run(&job, root),
        Err(why) => Outcome::Failed { why: format!("read the job: {why}"), retry_after: None },
    });
}

/// Does it, within the limits of its kind.
pub fn run(job: &Job, root: &Root) -> Outcome {
    match job {
        Job::Message { target, message } => {
            let own = file::read_bounded(&root.path(OWN_ROOTS), LARGEST_ROOTS).ok();
            channel::send(target, message, own.as_deref())
        }
        Job::Numbers { host, port, lines } => match push(host, *port, lines) {
            Ok(()) => Outcome::Accepted,
            Err(error) => {
                Outcome::Failed { why: format!("send to {host}:{port}: {error}"), retry_after: None }
            }
        },
    }
}

fn push(host: &str, port: u16, lines: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    // Two addresses, one of each family, are what a name in the house has.
    for address in (host, port).to_socket_addrs()?.take(2) {
        let sent = TcpStream::connect_timeout(&address, GRAPHITE).and_then(|mut stream| {
            stream.set_write_timeout(Some(GRAPHITE))?;
            stream.write_all(lines.as_bytes())
        });
        match sent {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
