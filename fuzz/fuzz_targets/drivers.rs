//! Files about network drivers, and versions as drivers and kernels write them.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = nic_health::drivers::parse(text, Path::new("fuzz.toml"));
    let _ = nic_health::drivers::Release::parse(text);
});
