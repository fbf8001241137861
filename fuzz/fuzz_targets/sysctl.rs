//! Files of sysctl.d, as both loaders read them, against any bytes.
#![no_main]

use ruleset::sysctl::{Content, File, Files, Folder, Key, Loader, blame, defects};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (one, two) = data.split_at(data.len() / 2);
    let file = |folder, name: &str, bytes: &[u8]| File {
        folder,
        name: name.to_owned(),
        content: Content::Bytes(bytes.to_vec()),
    };
    let files = Files(vec![file(Folder::Etc, "a.conf", one), file(Folder::Main, "sysctl.conf", two)]);
    let key = Key::parse("net.ipv4.ip_forward").expect("a key");
    for loader in Loader::BOTH {
        assert!(files.outcome(loader, &key, Some("1")).writes.len() <= data.len());
    }
    let known = ["net/ipv4/ip_forward".to_owned()];
    let _ = defects(&files, &key, Some("1"), Some("1"), &known, &Loader::BOTH);
    let _ = blame(&files, &key, "0", "1", &Loader::BOTH);
    let _ = Key::parse(&String::from_utf8_lossy(data));
});
