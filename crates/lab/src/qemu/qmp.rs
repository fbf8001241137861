//! QEMU's machine protocol, as much as ends a machine in order (QEMU: docs/interop/qmp-spec).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// A QEMU that does not answer in this time does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Events that may come before an answer.
const EVENTS: usize = 100;

/// Sends one command without arguments and waits for its answer.
///
/// # Errors
/// When QEMU does not answer or refuses.
pub(super) fn execute(socket: &Path, command: &str) -> Result<()> {
    let what = || format!("qmp {command} on {}", socket.display());
    let stream = UnixStream::connect(socket).context(what())?;
    stream.set_read_timeout(Some(PATIENCE)).context(what())?;
    stream.set_write_timeout(Some(PATIENCE)).context(what())?;
    let mut reader = BufReader::new(&stream);
    let mut greeting = String::new();
    reader.read_line(&mut greeting).context(what())?;
    for command in ["qmp_capabilities", command] {
        writeln!(&stream, "{}", serde_json::json!({ "execute": command })).context(what())?;
        let answer = answer(&mut reader).context(what())?;
        if answer.get("return").is_none() {
            return Err(Error::Unexpected(format!("{}: {answer}", what())));
        }
    }
    Ok(())
}

fn answer(reader: &mut impl BufRead) -> std::io::Result<serde_json::Value> {
    for _ in 0..EVENTS {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let message: serde_json::Value = serde_json::from_str(&line)?;
        if message.get("event").is_none() {
            return Ok(message);
        }
    }
    Err(std::io::Error::other("nothing but events"))
}
