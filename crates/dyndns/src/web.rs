//! Requests to providers: crate `web` with this daemon's name, limits and certificates. Blocks, and is
//! therefore only used by the child.

use std::time::Duration;

use ::web::{Cause, Options, Way, visit};

use crate::talk::{Answer, Family, Http, LARGEST_ANSWER};

/// From name resolution to the end of an answer. A name is to follow within 15 s of a failover, so a
/// second try must have its place in the minute after it.
const LIMIT: Duration = Duration::from_secs(20);
/// Certificates of one's own, trusted where the public ones are not enough.
pub const OWN_ROOTS: &str = "/data/failberry/dyndns/ca.pem";

/// Sends one off and reads the answer, as far as anybody wants to know it.
///
/// # Errors
/// In words, with what to do.
pub fn ask(
    request: &Http,
    way: Option<&Way>,
    family: Option<Family>,
    own_roots: Option<&[u8]>,
) -> Result<Answer, String> {
    let agent = concat!("failberry-dyndns/", env!("CARGO_PKG_VERSION"));
    let options =
        Options { family, way, own_roots, limit: LIMIT, largest: LARGEST_ANSWER, ..Options::new(agent) };
    match visit(request, &options).outcome {
        // Half an answer is judged as what it is; the status alone may do.
        Ok(reply) => Ok(Answer { status: reply.status, retry_after: reply.retry_after, body: reply.body }),
        Err(failure) if failure.cause == Cause::UnknownIssuer => {
            Err(format!("{failure}; put the issuer's into {OWN_ROOTS} if it is yours"))
        }
        Err(failure) => Err(failure.to_string()),
    }
}
