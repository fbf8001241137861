//! The end of a certificate's validity, in whatever a server sends as one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // 9999-12-31 is the last day there is.
    assert!(web::certificate::not_after(data).is_none_or(|end| end < 253_402_300_801));
});
