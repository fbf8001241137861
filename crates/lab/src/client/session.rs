//! An SSH session from the LAN to the appliance that somebody leaves open: words go there and come
//! back. It must survive every switch of lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Shared;
use crate::error::{Context, Result};
use crate::process::Keep;

/// Between two words.
const EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(shared: &Arc<Shared>, mut ssh: Command) -> Result<()> {
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut session = Keep::new(&mut ssh)?;
    let (Some(mut input), Some(output)) = (session.0.stdin.take(), session.0.stdout.take()) else {
        return Err(super::wrong("ssh: no pipes"));
    };
    let heard = shared.clone();
    let ear = thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if line.is_err() {
                break;
            }
            heard.came();
        }
    });
    while !shared.is_over() {
        shared.seen().sent += 1;
        if let Err(error) = writeln!(input, "word").and_then(|()| input.flush()) {
            return Err(error).context("the ssh session ended");
        }
        thread::sleep(EVERY);
    }
    drop(input);
    drop(session);
    let _ = ear.join();
    Ok(())
}
