//! Numbers an outsider cannot guess: identifiers and cookies that keep strangers from answering for others.

use std::hash::{BuildHasher, RandomState};

/// A keyed hash over a counter; the standard library takes the key from the kernel's random source.
#[derive(Debug, Default)]
pub struct Random {
    key: RandomState,
    count: u64,
}

impl Random {
    /// A number.
    pub fn draw(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        self.key.hash_one(self.count)
    }

    /// As many bytes as a greeting of TLS wants.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sources_and_two_draws_differ() {
        let (mut one, mut two) = (Random::default(), Random::default());
        assert_ne!(one.draw(), two.draw());
        assert_ne!(one.bytes(), one.bytes());
    }
}
