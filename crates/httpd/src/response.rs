//! Responses: small, whole, out of memory.

use std::borrow::Cow;
use std::io::Write as _;

use crate::Method;

/// Bytes of a body.
pub type Body = Cow<'static, [u8]>;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Body,
}

impl Response {
    /// 200 with `body`.
    pub fn ok(content_type: &'static str, body: impl Into<Body>) -> Self {
        Self { status: 200, content_type, body: body.into() }
    }

    /// 503 with `body`: what was asked for does not work just now.
    pub fn unavailable(content_type: &'static str, body: impl Into<Body>) -> Self {
        Self { status: 503, content_type, body: body.into() }
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::status(404)
    }

    /// A status with its reason as body.
    pub(crate) fn status(status: u16) -> Self {
        let body = format!("{status} {}\n", reason(status)).into_bytes();
        Self { status, content_type: "text/plain", body: body.into() }
    }

    /// Appends the bytes on the wire to `out`.
    ///
    /// There is no Date: the appliance has no battery-backed clock, and RFC 9110, 6.6.1 forbids a
    /// date made by a clock that cannot be right.
    pub(crate) fn write(&self, method: Method, keep_alive: bool, out: &mut Vec<u8>) {
        let written = write!(
            out,
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len(),
        );
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        if self.status == 405 {
            out.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        out.extend_from_slice(if keep_alive {
            b"Connection: keep-alive\r\n\r\n"
        } else {
            b"Connection: close\r\n\r\n"
        });
        if method != Method::Head {
            out.extend_from_slice(&self.body);
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}
