//! The ways out: what each service is sent, and how its answer is read.
//!
//! Formatting is pure; sending blocks and therefore only happens in the child process
//! ([`crate::deliver`]).

mod http;
mod mail;
mod ntfy;
mod slack;
mod webhook;

use std::time::Duration;

use crate::outbox::Outcome;
use crate::outgoing::Outgoing;
use crate::settings::Target;

/// From name resolution to the end of the answer; a modem that has just dialled is slow.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(12);

/// A POST as it goes on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends `message` and waits for the service's word. `own_roots` are certificates in PEM that are
/// trusted besides the public ones. No secret is in the outcome.
pub fn send(target: &Target, message: &Outgoing, own_roots: Option<&[u8]>) -> Outcome {
    let outcome = match target {
        Target::Webhook { url, token, secret } => {
            http::post(&webhook::post(url, token.as_deref(), secret.as_deref(), message), own_roots)
        }
        Target::Ntfy { url, token } => match ntfy::post(url, token.as_deref(), message) {
            Some(post) => http::post(&post, own_roots),
            None => Outcome::Refused { why: "the address has no topic: write https://ntfy.sh/topic".into() },
        },
        Target::Slack { url } => http::post(&slack::post(url, message), own_roots),
        Target::Mail { .. } => mail::send(target, message, own_roots),
    };
    match outcome {
        Outcome::Accepted => Outcome::Accepted,
        Outcome::Failed { why, retry_after } => Outcome::Failed { why: target.scrub(&why), retry_after },
        Outcome::Refused { why } => Outcome::Refused { why: target.scrub(&why) },
    }
}
