//! Simulates months of lines and writes `docs/detection.md`: `simulate [--quick] [FILE]`.

#[path = "../tests/sim/mod.rs"]
mod sim;

use sim::table::{Effort, page};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.first().is_some_and(|first| first == "--quick");
    if quick {
        arguments.remove(0);
    }
    let effort = if quick { Effort { outages: 50, days: 0.5 } } else { Effort::FULL };
    let page = page(effort, |what| eprintln!("simulate: {what}"));
    match arguments.first() {
        None => print!("{page}"),
        Some(file) => {
            if let Err(error) = std::fs::write(file, page) {
                eprintln!("simulate: write {file}: {error}");
                std::process::exit(1);
            }
        }
    }
}
