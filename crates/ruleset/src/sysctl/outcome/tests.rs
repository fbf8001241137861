//! The two loaders over the same files.

use super::*;
use crate::sysctl::{Content, Folder};
use proptest::prelude::*;

fn files(list: &[(&str, &str)]) -> Files {
    let file = |(path, text): &(&str, &str)| {
        let folder = Folder::FOLDERS.into_iter().find(|f| path.starts_with(f.path())).unwrap_or(Folder::Main);
        let name = path.rsplit('/').next().unwrap().to_owned();
        File { folder, name, content: Content::Bytes(text.as_bytes().to_vec()) }
    };
    Files(list.iter().map(file).collect())
}

/// What each loader leaves, as `file:line=value`.
fn winners(list: &[(&str, &str)], key: &str) -> [Option<String>; 2] {
    let files = files(list);
    Loader::BOTH.map(|loader| {
        let outcome = files.outcome(loader, &Key::parse(key).unwrap(), Some("7"));
        outcome.winner().map(|w| format!("{}:{}={}", w.file, w.line, w.value))
    })
}

fn one(text: &str) -> [Option<String>; 2] {
    let path = "/etc/sysctl.d/50-a.conf";
    winners(&[(path, text)], "net.ipv4.ip_forward").map(|w| w.map(|w| w[path.len() + 1..].to_owned()))
}

fn both(value: &str) -> [Option<String>; 2] {
    [Some(value.to_owned()), Some(value.to_owned())]
}

#[test]
fn the_same_files_have_two_winners() {
    // Measured on Debian 12 and 13.
    let list = [
        ("/etc/sysctl.d/10-a.conf", "net.ipv4.ip_forward = 0\n"),
        ("/usr/lib/sysctl.d/90-z.conf", "net.ipv4.ip_forward = 1\n"),
        ("/etc/sysctl.conf", "net.ipv4.ip_forward = 0\n"),
    ];
    let [systemd, procps] = winners(&list, "net.ipv4.ip_forward");
    assert_eq!(systemd.unwrap(), "/usr/lib/sysctl.d/90-z.conf:1=1");
    assert_eq!(procps.unwrap(), "/etc/sysctl.conf:1=0");
}

/// Each line was given to both real loaders on Debian 13; 7 stood there before.
#[test]
fn single_files_end_as_they_do_for_real() {
    assert_eq!(one("net.ipv4.ip_forward=0\nbanana\nnet.ipv4.ip_forward=1\n"), both("3=1"));
    assert_eq!(one("net.ipv4.ip_forward=banana\n"), [None, None]);
    assert_eq!(one("net.ipv4.ip_forward=1\nnet.ipv4.ip_forward=banana\n"), [None, Some("1=1".to_owned())]);
    assert_eq!(one("net.ipv4.ip_forward=1\n-net.ipv4.ip_forward\n"), [None, Some("1=1".to_owned())]);
    assert_eq!(one("net.ipv4.ip_forward.=1\n"), [Some("1=1".to_owned()), None]);
    assert_eq!(one("net/ipv4/../ipv4/ip_forward=1\n"), [None, Some("1=1".to_owned())]);
    for spelling in
        ["/net/ipv4/ip_forward", ".net.ipv4.ip_forward", "net..ipv4.ip_forward", "net/ipv4/./ip_forward"]
    {
        assert_eq!(one(&format!("{spelling}=1\n")), both("1=1"), "{spelling}");
    }
}

#[test]
fn patterns_pass_over_what_is_named() {
    assert_eq!(one("net.ipv4.ip_*=1\n"), both("1=1"));
    assert_eq!(one("net.*ip_forward=1\n"), [None, None]);
    assert_eq!(one("net.ipv4.ip_*=1\n-net.ipv4.ip_forward\n"), [None, None]);
    assert_eq!(one("net.ipv4.ip_*=1\nnet.ipv4.ip_forward=banana\n"), [None, None]);
    assert_eq!(one("net.ipv4.ip_forward=0\nnet.ipv4.ip_*=1\n"), both("1=0"));
    // An exclusion that is a pattern excludes nothing, neither from systemd 257 nor from procps 4.0.4.
    assert_eq!(one("net.ipv4.ip_*=1\n-net.ipv4.ip_f*\n"), both("1=1"));
    // The same pattern with two values: systemd forgets the first.
    assert_eq!(
        one("net.ipv4.ip_*=1\nnet.ipv4.ip_f*=2\nnet.ipv4.ip_*=1\n"),
        [Some("2=2".to_owned()), Some("3=1".to_owned())]
    );
}

#[test]
fn the_other_name_counts() {
    assert_eq!(one("net.ipv4.ip_forward=1\nnet.ipv4.conf.all.forwarding=0\n"), both("2=0"));
    assert_eq!(one("net.ipv4.ip_forward=1\nnet.ipv4.conf.*.forwarding=0\n"), both("2=0"));
}

#[test]
fn an_interface_with_a_dot_is_reached_by_both_spellings() {
    let list = [(
        "/etc/sysctl.d/a.conf",
        "net.ipv4.conf.eth0/100.rp_filter=1\nnet/ipv4/conf/eth0.100/rp_filter=2\n",
    )];
    let [systemd, procps] = winners(&list, "net/ipv4/conf/eth0.100/rp_filter");
    assert_eq!(systemd.unwrap(), "/etc/sysctl.d/a.conf:2=2");
    assert_eq!(procps.unwrap(), "/etc/sysctl.d/a.conf:2=2");
    assert_eq!(
        winners(
            &[("/etc/sysctl.d/a.conf", "net.ipv4.conf.eth0.100.rp_filter=1\n")],
            "net/ipv4/conf/eth0.100/rp_filter"
        ),
        [None, None]
    );
}

#[test]
fn a_masked_file_sets_nothing() {
    let mut list = files(&[("/usr/lib/sysctl.d/50-a.conf", "net.ipv4.ip_forward=0\n")]);
    list.0.push(File { folder: Folder::Etc, name: "50-a.conf".to_owned(), content: Content::Mask });
    for loader in Loader::BOTH {
        assert_eq!(
            list.outcome(loader, &Key::parse("net.ipv4.ip_forward").unwrap(), None),
            Outcome::default()
        );
    }
}

proptest! {
    #[test]
    fn the_order_in_which_files_are_found_does_not_matter(
        texts in prop::collection::vec("(-?net.ipv4.(ip_forward|ip_\\*|conf.all.forwarding)(=[01x])?\n){0,4}", 6),
        turn in 0usize..6,
    ) {
        let name = |i: usize| format!("{}0-a.conf", i % 2);
        let folder = |i: usize| [Folder::Etc, Folder::Usr, Folder::Local][i / 2];
        let all = texts.iter().enumerate().map(|(i, text)| {
            File { folder: folder(i), name: name(i), content: Content::Bytes(text.clone().into_bytes()) }
        });
        let found = Files(all.collect());
        let mut turned = found.clone();
        turned.0.rotate_left(turn);
        let key = Key::parse("net.ipv4.ip_forward").unwrap();
        for loader in Loader::BOTH {
            let outcome = found.outcome(loader, &key, Some("0"));
            prop_assert_eq!(&outcome, &turned.outcome(loader, &key, Some("0")));
            prop_assert_eq!(&outcome, &found.outcome(loader, &key, Some("0")));
        }
    }

    #[test]
    fn any_bytes_have_an_outcome(content in prop::collection::vec(any::<u8>(), 0..300)) {
        let file = File { folder: Folder::Etc, name: "a.conf".to_owned(), content: Content::Bytes(content) };
        for loader in Loader::BOTH {
            let outcome = Files(vec![file.clone()]).outcome(loader, &Key::parse("a.b").unwrap(), Some("1"));
            prop_assert!(outcome.writes.len() <= 300);
        }
    }
}
