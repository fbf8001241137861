//! The zone `dyn.test` on a real name server, Knot DNS, that takes signed updates (RFC 2136, RFC 8945):
//! what the appliance tells it, the internet resolves.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::Namespace;
use crate::error::{Context, Result};
use crate::process::Keep;

/// The zone.
pub const ZONE: &str = "dyn.test";
/// Its name server.
pub const ZONE_SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 57);
/// The key that may change it, as scenarios' configurations have it.
const KEY: &str = "house";
const SECRET: &str = "bGFib3JhdG9yeSBzZWNyZXQgb2Ygbm8gdmFsdWUgYXQgYWxs";

/// The internet's end of its cable.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 56);

/// The server, on a machine of its own: the internet's other name server takes every address there.
#[derive(Debug)]
pub struct ZoneServer {
    _process: Keep,
    _machine: Namespace,
}

/// Starts it in the internet.
///
/// # Errors
/// When it cannot be started.
pub fn start(internet: &Namespace, logs: &Path) -> Result<ZoneServer> {
    let machine = Namespace::create("zone")?;
    internet.cable("zone", &machine, "eth0")?;
    internet.ip(&format!("address add {GATEWAY}/31 dev zone"))?;
    machine.ip(&format!("address add {ZONE_SERVER}/31 dev eth0"))?;
    machine.ip(&format!("route add default via {GATEWAY}"))?;
    let folder = logs.join("zone");
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).context(format!("write {}", path.display()))
    };
    fs::create_dir_all(&folder).context(format!("make {}", folder.display()))?;
    let own = folder.display();
    put(
        "knot.conf",
        format!(
            "server:\n  rundir: {own}\n  listen: {ZONE_SERVER}@53\n\
             log:\n  - target: stderr\n    any: info\n\
             database:\n  storage: {own}\n\
             key:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
             acl:\n  - id: update\n    key: {KEY}\n    action: update\n\
             zone:\n  - domain: {ZONE}\n    storage: {own}\n    file: zone\n    acl: update\n"
        ),
    )?;
    // Five seconds for what does not exist (RFC 2308): who asked before the first update asks again soon.
    put(
        "zone",
        format!(
            "$ORIGIN {ZONE}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A {ZONE_SERVER}\n"
        ),
    )?;
    let mut command = machine.command("knotd");
    command.arg("-c").arg(folder.join("knot.conf"));
    let process = Keep::logged(&mut command, &logs.join("internet-zone.log"))?;
    Ok(ZoneServer { _process: process, _machine: machine })
}
