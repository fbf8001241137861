//! NTP packets and the dates of web pages: whatever answers.
#![no_main]

use sysio::Monotonic;
use timekeeper::utc::Utc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = timekeeper::date::utc(data);
    // The cookie is taken from the packet, so that what comes behind it is reached.
    let cookie = data.get(24..32).map_or(0, |b| u64::from_be_bytes(b.try_into().expect("eight bytes")));
    if let Ok(reply) = timekeeper::ntp::read(data, cookie) {
        let (asked, heard) = (Monotonic::from_secs(10), Monotonic::from_secs(13));
        let _ = reply.booted_at(asked, heard, Utc::from_secs(1_767_225_600));
    }
});
