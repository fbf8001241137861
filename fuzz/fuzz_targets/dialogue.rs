//! The AT dialogue and the dialer's machine against any bytes at any time.
#![no_main]

#[path = "../src/dialogue.rs"]
mod dialogue;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialogue::run(data));
