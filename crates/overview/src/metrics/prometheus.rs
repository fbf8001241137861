//! The text format 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::Write as _;

use super::{Family, Type};

/// The page a Prometheus server reads.
pub fn prometheus(families: &[Family]) -> String {
    let mut out = String::with_capacity(8192);
    for family in families {
        let kind = match family.kind {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", family.name, escaped_help(family.help));
        for sample in &family.samples {
            out.push_str(family.name);
            for (n, (name, value)) in sample.labels.iter().enumerate() {
                let before = if n == 0 { '{' } else { ',' };
                let _ = write!(out, "{before}{name}=\"{}\"", escaped_label(value));
            }
            if !sample.labels.is_empty() {
                out.push('}');
            }
            let _ = writeln!(out, " {}", sample.value);
        }
    }
    out
}

fn escaped_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn escaped_label(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
