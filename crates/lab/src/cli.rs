//! The command line of `scripts/lab` and `scripts/run`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use serde::Serialize;

use crate::bench;
use crate::error::{Context, Error, Result};
use crate::fault::catalogue::CATALOGUE;
use crate::image;
use crate::line;
use crate::scenario::format::{Scenario, matches};
use crate::scenario::run::Runner;
use crate::stick::{self, StickConfig};
use crate::stop::Stop;
use crate::up;

/// Exit codes: documented for `run`; usage and interruption as sysexits.h and shells have them.
const FAILED: u8 = 1;
const NONE_MATCHED: u8 = 2;
const USAGE: u8 = 64;
const INTERRUPTED: u8 = 130;
/// Runs of a benchmark's case when nothing is said: enough for a median.
const RUNS: usize = 3;
/// Minutes that an idle line is watched when nothing is said.
const MINUTES: u32 = 60;
/// The seed when none is named.
const SEED: u64 = 1;

const HELP: &str = "\
lab list                        list the scenarios
lab run NAME… [OPTION]…         run scenarios; * and ? in a name stand for anything, all for all
    --seed N                    what random choices are made from; may repeat (default 1)
    --tag WORD                  those with this tag (no NAME needed)
    --json FILE                 write an array of {name, seed, passed, seconds, detail}
lab faults                      list the faults of stick, carrier and lines, their cures and sources
lab up [--once]                 boot the appliance to look at; --once: until it works, then end
lab bench NAME [--runs N] [--minutes N]
                                ours beside the peers (scripts/bench bakes the image for it)
lab stick --socket PATH [--netns FILE]
                                an emulated stick for a QEMU of your own
    --image FILE                the image to boot (default: the newest baked one)
";

#[derive(Debug, Default)]
struct Arguments {
    words: Vec<String>,
    seeds: Vec<u64>,
    tags: Vec<String>,
    json: Option<PathBuf>,
    image: Option<PathBuf>,
    once: bool,
    runs: Option<usize>,
    minutes: Option<u32>,
    socket: Option<PathBuf>,
    netns: Option<PathBuf>,
}

/// Runs the command line; everything worth saying has been said when it returns.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match parse(lexopt::Parser::from_iter(arguments)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("lab: {error}\n\n{HELP}");
            return ExitCode::from(USAGE);
        }
    };
    match dispatch(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(Error::Interrupted) => {
            eprintln!("lab: interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> std::result::Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) => arguments.words.push(word.string()?),
            Long("seed") => arguments.seeds.push(parser.value()?.parse()?),
            Long("tag") => arguments.tags.push(parser.value()?.string()?),
            Long("json") => arguments.json = Some(parser.value()?.into()),
            Long("image") => arguments.image = Some(parser.value()?.into()),
            Long("socket") => arguments.socket = Some(parser.value()?.into()),
            Long("netns") => arguments.netns = Some(parser.value()?.into()),
            Long("minutes") => arguments.minutes = Some(parser.value()?.parse()?),
            Long("runs") => arguments.runs = Some(parser.value()?.parse()?),
            Long("once") => arguments.once = true,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if arguments.words.is_empty() {
        return Err("which command?".into());
    }
    Ok(Some(arguments))
}

fn dispatch(arguments: &Arguments) -> Result<u8> {
    let top = std::env::var_os("FAILBERRY_TOP").map_or_else(|| PathBuf::from("."), PathBuf::from);
    match arguments.words[0].as_str() {
        "list" => list(&top),
        "faults" => Ok(faults()),
        "run" => scenarios(arguments, &top),
        "up" => {
            let image = image::find(arguments.image.clone(), &top)?;
            let stop = Stop::on_signals()?;
            match up::up(&image, &top.join("build/lab/up"), arguments.once, &stop) {
                // Without --once, interrupting is how one leaves.
                Err(Error::Interrupted) if !arguments.once => Ok(0),
                result => result.map(|()| 0),
            }
        }
        "bench" => benchmark(arguments, &top),
        "stick" => lone_stick(arguments),
        other => {
            eprint!("lab: no command {other}\n\n{HELP}");
            Ok(USAGE)
        }
    }
}

fn list(top: &Path) -> Result<u8> {
    for scenario in Scenario::load_all(&top.join("tests/scenarios"))? {
        println!("{:26} {} [{}]", scenario.name, scenario.description, scenario.tags.join(" "));
    }
    Ok(0)
}

fn faults() -> u8 {
    for row in &CATALOGUE {
        println!("{:18} {}", row.name, row.does);
        let times = if row.cycles > 1 { format!(" ({} times)", row.cycles) } else { String::new() };
        println!("{:18} cured by {:?}{times}; {}", "", row.cure, row.source);
    }
    println!(
        "\nfaults of a line (line-fault = {{ line = \"wired\" or \"cellular\", name = … }}), until line-clear:\n"
    );
    for row in &line::catalogue::CATALOGUE {
        println!("{:20} {}", row.name, row.does);
        println!("{:20} {}", "", row.source);
    }
    0
}

fn scenarios(arguments: &Arguments, top: &Path) -> Result<u8> {
    let all = Scenario::load_all(&top.join("tests/scenarios"))?;
    let names = &arguments.words[1..];
    let chosen: Vec<&Scenario> =
        all.iter().filter(|scenario| wanted(scenario, names, &arguments.tags)).collect();
    if chosen.is_empty() {
        eprintln!("lab: no scenario matches {}; see `scripts/lab list`", names.join(" "));
        return Ok(NONE_MATCHED);
    }
    let image = image::find(arguments.image.clone(), top)?;
    let stop = Stop::on_signals()?;
    let runner = Runner { image: &image, logs: top.join("build/lab"), stop: &stop };
    let seeds: &[u64] = if arguments.seeds.is_empty() { &[SEED] } else { &arguments.seeds };
    let mut outcomes = Vec::new();
    for scenario in chosen {
        for &seed in seeds {
            outcomes.push(runner.run(scenario, seed)?);
            if let Some(file) = &arguments.json {
                write(file, &outcomes)?;
            }
        }
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    eprintln!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(if failed > 0 { FAILED } else { 0 })
}

fn benchmark(arguments: &Arguments, top: &Path) -> Result<u8> {
    let Some(name) = arguments.words.get(1) else {
        eprint!("lab: bench needs a name\n\n{HELP}");
        return Ok(USAGE);
    };
    let stop = Stop::on_signals()?;
    let folder = top.join("build/lab").join(format!("bench-{name}"));
    if name == "detection" {
        // In network namespaces: no image is booted.
        let report = bench::detection::run(&top.join("target/release/uplink"), &folder, &stop)?;
        return finish(arguments, &report);
    }
    if name == "idle-data" {
        let time = Duration::from_secs(60) * arguments.minutes.unwrap_or(MINUTES).max(1);
        let report = bench::idle_data::run(&top.join("target/release/uplink"), &folder, time, &stop)?;
        return finish(arguments, &report);
    }
    if name == "guard" {
        let monit = Some(top.join("build/bench/monit/usr/bin/monit")).filter(|program| program.exists());
        let report = bench::guard::run(&top.join("target/release"), monit.as_deref(), &folder, &stop)?;
        return finish(arguments, &report);
    }
    if name == "ping" {
        let built = |path: &str| Some(top.join("build/bench").join(path)).filter(|program| program.exists());
        let programs = bench::ping::Programs {
            ours: top.join("target/release/pinghttpserver"),
            nginx: Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.exists()),
            threads: built("threads"),
        };
        let report = bench::ping::run(&programs, &folder, &stop)?;
        return finish(arguments, &report);
    }
    let image = image::find(arguments.image.clone(), top)?;
    let report = bench::run(name, &image, &folder, arguments.runs.unwrap_or(RUNS).max(1), &stop)?;
    finish(arguments, &report)
}

fn finish(arguments: &Arguments, report: &impl Serialize) -> Result<u8> {
    println!("{}", json(report)?);
    if let Some(file) = &arguments.json {
        write(file, report)?;
    }
    Ok(0)
}

fn wanted(scenario: &Scenario, names: &[String], tags: &[String]) -> bool {
    names.iter().any(|name| name == "all" || matches(name, &scenario.name))
        || tags.iter().any(|tag| scenario.tags.contains(tag))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::Unexpected(format!("as JSON: {error}")))
}

fn write(file: &Path, value: &impl Serialize) -> Result<()> {
    fs::write(file, json(value)? + "\n").context(format!("write {}", file.display()))
}

fn lone_stick(arguments: &Arguments) -> Result<u8> {
    let Some(socket) = &arguments.socket else {
        eprint!("lab: stick needs --socket\n\n{HELP}");
        return Ok(USAGE);
    };
    let mut config = StickConfig::new(socket);
    config.carrier.netns.clone_from(&arguments.netns);
    stick::run_standalone(config).map_err(|error| Error::Unexpected(error.to_string()))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> std::result::Result<Option<Arguments>, lexopt::Error> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn seeds_and_names_may_repeat() {
        let parsed = arguments("run a* b --seed 3 --seed 4 --json out.json").unwrap().unwrap();
        assert_eq!(parsed.words, ["run", "a*", "b"]);
        assert_eq!(parsed.seeds, [3, 4]);
        assert_eq!(parsed.json, Some("out.json".into()));
    }

    #[test]
    fn wrong_options_are_refused() {
        assert!(arguments("run x --sed 3").is_err());
        assert!(arguments("run x --seed many").is_err());
        assert!(arguments("").is_err());
    }
}
