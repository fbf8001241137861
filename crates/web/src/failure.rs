//! What can go wrong, by phase and cause, in words a person can act on.

use std::io;

use nix::errno::Errno;
use rustls::CertificateError;
use serde::{Deserialize, Serialize};

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It did not begin: the address makes no sense.
    Url,
    /// The name.
    Dns,
    /// The connection.
    Connect,
    /// The certificate and the keys.
    Tls,
    /// Question and answer.
    Http,
}

impl Phase {
    /// Its word in snapshots.
    pub fn word(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Http => "http",
        }
    }
}

/// Why it got no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The address.
    #[error("not an address of the web; write https://, the host, and the path")]
    Address,
    /// NXDOMAIN, or no record of the kind.
    #[error("there is no such name, or it has no address")]
    NoSuchName,
    /// All name servers are silent or in trouble.
    #[error("no name server gives an answer")]
    NoNameServer,
    /// Nothing came back.
    #[error("no answer in time")]
    TimedOut,
    /// RST to a SYN.
    #[error("the connection is refused")]
    Refused,
    /// No route, here or on the way.
    #[error("the address is unreachable")]
    Unreachable,
    /// The line it was to take is not there.
    #[error("the line is not there")]
    NoWay,
    /// Only root, or who has `CAP_NET_RAW`, may choose a line.
    #[error("not allowed to choose the line; ask as root")]
    NotAllowed,
    /// By our clock.
    #[error("the certificate has expired, or this clock is wrong")]
    Expired,
    /// By our clock.
    #[error("the certificate is not valid yet by this clock")]
    NotYetValid,
    /// A certificate, but not that one.
    #[error("the certificate is for another name; a login page of the line?")]
    WrongName,
    /// Neither a public authority nor one of one's own.
    #[error("the certificate is of an unknown issuer")]
    UnknownIssuer,
    /// What `openssl req -x509` makes: marked as an authority's, and then used by a server.
    #[error(
        "the certificate is an authority's own (self-signed, CA:TRUE) and no server's; sign one for the server \
         by it, or make it with basicConstraints=CA:FALSE"
    )]
    AuthoritysOwn,
    /// Another fault of the certificate.
    #[error("the certificate is not valid")]
    BadCertificate,
    /// What answers speaks no TLS, or none we speak.
    #[error("no agreement on tls with what answers there")]
    NoTls,
    /// Ended in the middle.
    #[error("the connection ended before the answer did")]
    Closed,
    /// Not HTTP, or more head than anybody needs.
    #[error("the answer is no http")]
    Broken,
    /// The system's own words are in the detail.
    #[error("the system refuses")]
    System,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
    /// More of it, or nothing. Never from the outside, and never the address, which may hold a secret.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(phase: Phase, cause: Cause) -> Self {
        Self { phase, cause, detail: String::new() }
    }

    /// The words of the failure of a socket.
    pub(crate) fn io(phase: Phase, error: &io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::tls(phase, tls);
        }
        let code = error.raw_os_error().map(Errno::from_raw);
        let cause = match (error.kind(), code) {
            // A connect that SO_SNDTIMEO ended (Linux, net/ipv4/af_inet.c: __inet_stream_connect).
            (io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock, _) | (_, Some(Errno::EINPROGRESS)) => {
                Cause::TimedOut
            }
            (io::ErrorKind::ConnectionRefused, _) => Cause::Refused,
            (io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable, _)
            | (_, Some(Errno::EADDRNOTAVAIL)) => Cause::Unreachable,
            (_, Some(Errno::ENODEV)) => Cause::NoWay,
            (io::ErrorKind::PermissionDenied, _) => Cause::NotAllowed,
            (
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe,
                _,
            ) => Cause::Closed,
            (io::ErrorKind::InvalidData, _) => Cause::Broken,
            _ => Cause::System,
        };
        let detail = if cause == Cause::System { error.to_string() } else { String::new() };
        Self { phase, cause, detail }
    }

    pub(crate) fn tls(phase: Phase, error: &rustls::Error) -> Self {
        use rustls::Error::{InappropriateHandshakeMessage, InappropriateMessage, InvalidCertificate};
        use rustls::Error::{InvalidMessage, NoApplicationProtocol, PeerIncompatible};
        let cause = match error {
            InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Cause::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Cause::NotYetValid
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Cause::WrongName
                }
                CertificateError::UnknownIssuer => Cause::UnknownIssuer,
                // The type of that error is webpki's; its name is all there is here.
                CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                    Cause::AuthoritysOwn
                }
                _ => Cause::BadCertificate,
            },
            InappropriateMessage { .. }
            | InappropriateHandshakeMessage { .. }
            | InvalidMessage(_)
            | PeerIncompatible(_)
            | NoApplicationProtocol => Cause::NoTls,
            _ => Cause::System,
        };
        // rustls's words; a peer decides which of them, not what they are.
        let detail = if [Cause::BadCertificate, Cause::System].contains(&cause) {
            error.to_string()
        } else {
            String::new()
        };
        Self { phase, cause, detail }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = self.phase.word();
        match self.detail.as_str() {
            "" => write!(f, "{phase}: {}", self.cause),
            detail => write!(f, "{phase}: {}: {detail}", self.cause),
        }
    }
}
