//! The commented example file, made from the sections so that it cannot lag behind them.

use crate::sections::SECTIONS;
use std::fmt::Write as _;

/// The text of `docs/failberry.example.toml`: every section and key with its meaning, all commented out.
pub fn example() -> String {
    let mut out = String::from(
        "# Failberry's one configuration file. On the card: failberry.toml on the partition FAILBERRY.\n\
         # Remove the # before a key to set it. Nothing here is mandatory; what is shown is the default,\n\
         # or an example where there is none. A file with a mistake changes nothing: the status page tells\n\
         # what is wrong, and `failberry config check failberry.toml` does so before.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        for line in section.doc {
            let _ = writeln!(out, "# {}", line.trim());
        }
        let _ = writeln!(out, "[{}]", section.name);
        for key in section.keys {
            out.push('\n');
            for line in key.doc {
                let _ = writeln!(out, "# {}", line.trim());
            }
            let _ = writeln!(out, "# {} = {}", key.name, key.example);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, parse};

    #[test]
    fn the_example_in_the_documentation_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/failberry.example.toml");
        let committed = std::fs::read_to_string(file).unwrap();
        assert_eq!(
            committed,
            example(),
            "stale: run cargo run -p config --example print > docs/failberry.example.toml"
        );
    }

    #[test]
    fn the_example_as_it_is_means_the_defaults() {
        assert_eq!(parse(example().as_bytes()).unwrap(), Config::default());
    }

    #[test]
    fn every_example_value_is_valid_and_every_shown_default_is_the_default() {
        let defaults = Config::default();
        for section in SECTIONS {
            for key in section.keys {
                let text = format!("[{}]\n{} = {}\n", section.name, key.name, key.example);
                let config = parse(text.as_bytes()).or_else(|_| {
                    // It names what another key of its section defines.
                    let lines = section.keys.iter().map(|k| format!("{} = {}\n", k.name, k.example));
                    parse(format!("[{}]\n{}", section.name, lines.collect::<String>()).as_bytes())
                });
                let config = config.unwrap_or_else(|p| panic!("{text}: {p:?}"));
                let mut shown = String::new();
                defaults.write(|s| s.name == section.name, &mut shown);
                if shown.lines().any(|l| l.starts_with(&format!("{} = ", key.name))) {
                    let unset = shown.contains(&format!("{} = []", key.name));
                    assert!(unset || config == defaults, "{}.{}", section.name, key.name);
                }
            }
        }
    }

    #[test]
    fn every_key_has_a_meaning() {
        for section in SECTIONS {
            assert!(!section.doc.is_empty());
            for key in section.keys {
                assert!(!key.doc.is_empty(), "{}.{}", section.name, key.name);
            }
        }
    }
}
