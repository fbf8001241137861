//! Graphite's plaintext protocol: `path value seconds`, one a line
//! (<https://graphite.readthedocs.io/en/latest/feeding-carbon.html#the-plaintext-protocol>).

use std::fmt::Write as _;

use super::Family;

/// Lines for a Graphite server. Labels become parts of the path, in their order; what is not a letter,
/// digit, `-` or `_` in them becomes `_`, because dots part a path and blanks a line.
pub fn graphite(families: &[Family], prefix: &str, unix: u64) -> String {
    let mut out = String::with_capacity(8192);
    for family in families {
        let name = family.name.strip_prefix("failberry_").unwrap_or(family.name);
        for sample in &family.samples {
            let _ = write!(out, "{prefix}.{name}");
            for (_, value) in &sample.labels {
                out.push('.');
                // An empty part would make two dots in a row.
                if value.is_empty() {
                    out.push('_');
                }
                out.extend(
                    value.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }),
                );
            }
            let _ = writeln!(out, " {} {unix}", sample.value);
        }
    }
    out
}
