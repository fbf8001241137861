//! bake

fn main() {}
