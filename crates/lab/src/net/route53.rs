//! Route 53's API as moto has it (Debian's python3-moto): somebody else's reading of Amazon's interface,
//! with a hosted zone of the lab in it. It serves no DNS; what it holds is asked for by the same interface.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Namespace, zone};
use crate::error::{Context, Error, Result};
use crate::process::Keep;

/// Where it listens (RFC 5737).
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 61);
/// The internet's end of its cable.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 60);
const PORT: u16 = 80;
/// Python with all of Amazon takes seconds to start, on a busy machine many.
const READY: Duration = Duration::from_secs(60);
/// One request.
const PATIENCE: Duration = Duration::from_secs(10);
/// What stands for the hosted zone's id in a scenario's configuration: it is another in every run.
pub const ZONE_MARK: &str = "@ROUTE53-ZONE@";

/// The service, on a machine of its own.
#[derive(Debug)]
pub struct Route53 {
    /// The hosted zone's id.
    pub zone: String,
    _process: Keep,
    machine: Namespace,
}

/// Starts it in the internet, with a hosted zone [`zone::ZONE`].
///
/// # Errors
/// When it cannot be started, or answers something else.
pub fn start(internet: &Namespace, logs: &Path) -> Result<Route53> {
    let machine = Namespace::create("route53")?;
    internet.cable("route53", &machine, "eth0")?;
    internet.ip(&format!("address add {GATEWAY}/31 dev route53"))?;
    machine.ip(&format!("address add {ADDRESS}/31 dev eth0"))?;
    machine.ip("link set lo up")?;
    machine.ip(&format!("route add default via {GATEWAY}"))?;
    let mut command = machine.command("python3");
    command.args(["-m", "moto.server", "-H", &ADDRESS.to_string(), "-p", &PORT.to_string()]);
    let process = Keep::logged(&mut command, &logs.join("internet-route53.log"))?;
    let mut service = Route53 { zone: String::new(), _process: process, machine };
    service.wait()?;
    let body = format!(
        "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
         <Name>{}.</Name><CallerReference>lab</CallerReference></CreateHostedZoneRequest>",
        zone::ZONE
    );
    let answer = service.ask("POST", "/2013-04-01/hostedzone", &body)?;
    let id = between(&answer, "<Id>/hostedzone/", "</Id>");
    id.ok_or_else(|| Error::Unexpected(format!("make a hosted zone: {answer}")))?
        .clone_into(&mut service.zone);
    Ok(service)
}

impl Route53 {
    /// Every record set and health check it holds, as it tells them: XML.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn everything(&self) -> Result<String> {
        let sets = self.ask("GET", &format!("/2013-04-01/hostedzone/{}/rrset", self.zone), "")?;
        let checks = self.ask("GET", "/2013-04-01/healthcheck", "")?;
        Ok(sets + &checks)
    }

    fn wait(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.ask("GET", "/moto-api/", "") {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > READY => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// One request, signed by nobody: moto takes the service from the signature's scope and does not
    /// check the rest.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let what = || format!("{method} {path} at {ADDRESS}");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\nContent-Type: application/xml\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/route53/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.machine.inside(|| {
            let mut stream =
                TcpStream::connect_timeout(&SocketAddr::from((ADDRESS, PORT)), PATIENCE).context(what())?;
            stream.set_read_timeout(Some(PATIENCE)).context(what())?;
            stream.write_all(request.as_bytes()).context(what())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).context(what())?;
            Ok(answer)
        })
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zones_id_is_found_and_nothing_is_made_up() {
        let answer = "<HostedZone>\n <Id>/hostedzone/Z0ABC</Id>\n <Name>dyn.test.</Name>";
        assert_eq!(between(answer, "<Id>/hostedzone/", "</Id>"), Some("Z0ABC"));
        assert_eq!(between("<Id>/hostedzone/Z0", "<Id>/hostedzone/", "</Id>"), None);
        assert_eq!(between("", "<Id>/hostedzone/", "</Id>"), None);
    }
}
