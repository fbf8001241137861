//! ARP frames and neighbour advertisements: whatever a network sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nic_health::wire::arp_claim(data);
    let _ = nic_health::wire::advertisement(data);
});
