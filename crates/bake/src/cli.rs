//! The command line: bake, list, explain.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, IoContext};
use crate::layer::{Layer, load_layers};
use crate::pipeline::{Environment, Options, bake};

/// How to use it.
pub const USAGE: &str = "\
usage: scripts/bake --machine M [--with LAYER]… [--without LAYER]… [--no-xz] [--name NAME]
       scripts/bake layers             list the layers
       scripts/bake describe LAYER     what a layer is made of

  --machine M      one of image/machines/, such as rpi-arm64
  --with LAYER     add a layer (and what it requires)
  --without LAYER  leave a default layer out
  --no-xz          leave the image uncompressed: quicker, for the lab
  --name NAME      put the result into build/deploy/NAME: beside, not over, the image people flash

The result is in build/deploy/<M>/. Every step's log is in build/log/<M>/.";

/// Time stamp where `SOURCE_DATE_EPOCH` is not set: 2026-01-01, like scripts/sdk.
const DEFAULT_EPOCH: u64 = 1_767_225_600;

/// What was asked for.
#[derive(Debug)]
pub enum Request {
    /// Bake an image.
    Bake(Options),
    /// List the layers.
    Layers,
    /// Explain one layer.
    Describe(String),
    /// Show the usage.
    Help,
}

/// Reads the command line.
///
/// # Errors
/// Unknown or missing arguments.
pub fn parse(mut parser: lexopt::Parser) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("machine") => options.machine = parser.value()?.string()?,
            Long("with") => options.with.push(parser.value()?.string()?),
            Long("without") => options.without.push(parser.value()?.string()?),
            Long("no-xz") => options.no_xz = true,
            Long("name") => options.name = Some(parser.value()?.string()?),
            Long("help") | Short('h') => return Ok(Request::Help),
            Value(word) if word == "layers" => return Ok(Request::Layers),
            Value(word) if word == "describe" => return Ok(Request::Describe(parser.value()?.string()?)),
            other => return Err(other.unexpected()),
        }
    }
    if options.machine.is_empty() {
        return Err("--machine is missing".into());
    }
    Ok(Request::Bake(options))
}

/// The environment scripts/sdk sets up.
///
/// # Errors
/// A `SOURCE_DATE_EPOCH` that is no number, or no current folder.
pub fn environment() -> Result<Environment, Error> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let top = match var("FAILBERRY_TOP") {
        Some(top) => PathBuf::from(top),
        None => std::env::current_dir().at("find", ".".as_ref())?,
    };
    let epoch = match var("SOURCE_DATE_EPOCH") {
        Some(text) => text.parse().map_err(|_| {
            Error::Invalid(format!("read SOURCE_DATE_EPOCH: {text} is not a number of seconds since 1970"))
        })?,
        None => DEFAULT_EPOCH,
    };
    let cache = var("FAILBERRY_CACHE").map_or_else(|| top.join("build/cache"), PathBuf::from);
    Ok(Environment {
        top,
        cache,
        epoch,
        mirror: var("FAILBERRY_MIRROR"),
        security_mirror: var("FAILBERRY_SECURITY_MIRROR"),
    })
}

/// Does what was asked for; lists go to `out`.
///
/// # Errors
/// The bake's, or an unknown layer.
pub fn run(request: &Request, env: &Environment, out: &mut dyn Write) -> Result<(), Error> {
    let text = match request {
        Request::Bake(options) => format!("{}\n", bake(env, options)?.display()),
        Request::Layers => list(env)?,
        Request::Describe(name) => {
            let layers = load_layers(&env.top)?;
            let layer = layers.get(name).ok_or_else(|| {
                Error::Resolve(format!(
                    "no layer is called {name}; `scripts/bake layers` lists those there are"
                ))
            })?;
            describe(layer)
        }
        Request::Help => format!("{USAGE}\n"),
    };
    out.write_all(text.as_bytes()).at("write to", "standard output".as_ref())
}

fn list(env: &Environment) -> Result<String, Error> {
    let mut layers: Vec<Layer> = load_layers(&env.top)?.into_values().collect();
    layers.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
    let line = |l: &Layer| {
        let mark = if l.default { "default" } else { "--with" };
        format!("{:3}  {:<16} {mark:<8} {}\n", l.priority, l.name, l.description)
    };
    Ok(layers.iter().map(line).collect())
}

fn describe(layer: &Layer) -> String {
    let mut text = format!("{}: {}\npriority: {}\n", layer.name, layer.description, layer.priority);
    let when = if layer.default { "in every image unless left out" } else { "only when asked for (--with)" };
    let _ = writeln!(text, "used: {when}");
    let data: Vec<String> = layer.data.iter().map(|(from, to)| format!("{from} → /{to}")).collect();
    for (what, items) in [
        ("machines", &layer.machines),
        ("requires", &layer.requires),
        ("conflicts with", &layer.conflicts),
        ("Debian packages", &layer.packages),
        ("without their dependencies", &layer.without_packages),
        ("kernel modules", &layer.modules),
        ("modules of the initramfs", &layer.initramfs_modules),
        ("daemons", &layer.binaries),
        ("commands", &layer.commands),
        ("data", &data),
        ("enables", &layer.enable),
        ("masks", &layer.mask),
        ("makes folders", &layer.directories),
        ("drops", &layer.drop),
        ("overrides", &layer.overrides),
    ] {
        if !items.is_empty() {
            let _ = writeln!(text, "{what}: {}", items.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Request, lexopt::Error> {
        parse(lexopt::Parser::from_args(words))
    }

    #[test]
    fn layers_may_be_added_and_left_out_repeatedly() {
        let words = ["--machine", "m", "--with", "a", "--with=b", "--without", "c", "--no-xz"];
        let Request::Bake(options) = parse_words(&words).unwrap() else { panic!("not a bake") };
        assert_eq!((options.with.len(), options.without.len(), options.no_xz), (2, 1, true));
    }

    #[test]
    fn a_machine_is_required_and_nonsense_refused() {
        assert!(parse_words(&[]).unwrap_err().to_string().contains("--machine"));
        assert!(parse_words(&["--nonsense"]).is_err());
    }

    #[test]
    fn a_description_says_what_a_layer_brings_and_skips_what_it_does_not() {
        let layer = Layer { name: "x".into(), packages: vec!["ppp".into()], ..Layer::default() };
        let text = describe(&layer);
        assert!(text.contains("Debian packages: ppp") && !text.contains("conflicts"), "{text}");
    }
}
