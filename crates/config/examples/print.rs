//! Prints `docs/failberry.example.toml`.

fn main() {
    print!("{}", config::example());
}
