//! The head of a request from the internet, whole and byte by byte.
#![no_main]

use httpd::request::{MAX_HEAD, Parsed, parse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Parsed::Complete(request, length) = parse(data) {
        assert!(length <= data.len() && length <= MAX_HEAD);
        assert!(request.path.starts_with('/') && request.path.len() < length);
        // The same head says the same whatever follows, and nothing less of it is a request.
        assert_eq!(parse(&data[..length]), Parsed::Complete(request, length));
        assert!(!matches!(parse(&data[..length - 1]), Parsed::Complete(..)));
    }
});
