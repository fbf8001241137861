//! early-init

fn main() {}
