//! Our rules against what a real `iptables-save` prints after loading them.
//!
//! `testdata/*.save` come from iptables 1.8.11 (`nf_tables`) in a network namespace: the input of
//! `plan` for the standard policy was loaded beside rules of somebody else, then saved; `full.*` are
//! the same of `full.rs` in both flavours. `testdata/versions` holds what others published.

#[path = "../testdata/full.rs"]
mod full;

use ruleset::{Device, Family, Guard, Loaded, Metered, Policy, Ruleset, desired, plan};

const SAVED_V4: &str = include_str!("../testdata/standard.v4.save");
const SAVED_V6: &str = include_str!("../testdata/standard.v6.save");
const SAVED_LEGACY: &str = include_str!("../testdata/legacy.v4.save");
const INPUT_V4: &str = include_str!("../testdata/standard.v4.restore");
const INPUT_V6: &str = include_str!("../testdata/standard.v6.restore");

fn standard() -> Policy {
    Policy::standard("eth0".parse().unwrap())
}

#[test]
fn what_the_kernel_gives_back_is_what_was_wanted() {
    for (family, saved) in [(Family::V4, SAVED_V4), (Family::V6, SAVED_V6), (Family::V4, SAVED_LEGACY)] {
        let loaded = Loaded::parse(saved).unwrap();
        assert_eq!(loaded.own, desired(&standard(), family));
        assert_eq!(plan(&loaded.own, &desired(&standard(), family)), None);
    }
}

#[test]
fn both_flavours_give_back_everything_we_can_ask_for() {
    for (family, saved) in [
        (Family::V4, include_str!("../testdata/full.v4.nft.save")),
        (Family::V6, include_str!("../testdata/full.v6.nft.save")),
        (Family::V4, include_str!("../testdata/full.v4.legacy.save")),
        (Family::V6, include_str!("../testdata/full.v6.legacy.save")),
    ] {
        let loaded = Loaded::parse(saved).unwrap();
        assert_eq!(loaded.own, desired(&full::policy(), family));
        assert_eq!(loaded.foreign_rules, 0);
    }
}

#[test]
fn outputs_of_other_versions_are_read_and_none_of_it_is_ours() {
    for (saved, rules, forward) in [
        (include_str!("../testdata/versions/1.4.7-legacy-docker.save"), 4, None),
        (include_str!("../testdata/versions/1.8.4-nixos-docker.save"), 7, Some("ACCEPT")),
        (include_str!("../testdata/versions/1.8.9-nft-docker.save"), 6, Some("DROP")),
        (include_str!("../testdata/versions/rhel8-nft-firewalld.save"), 0, Some("ACCEPT")),
    ] {
        let loaded = Loaded::parse(saved).unwrap();
        assert_eq!((loaded.foreign_rules, &loaded.own), (rules, &Ruleset::default()), "{saved}");
        let policy = loaded.policies.get(&("filter".to_owned(), "FORWARD".to_owned()));
        assert_eq!(policy.map(String::as_str), forward, "{saved}");
        for rule in saved.lines().filter_map(|line| line.strip_prefix("-A ")) {
            let (_, rule) = rule.split_once(' ').unwrap();
            let canonical = ruleset::canonical_rule(rule);
            assert_eq!(ruleset::canonical_rule(&canonical), canonical);
            // Nothing gets lost but what `-p tcp` says already.
            let words = |text: &str| {
                let mut words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
                words.sort();
                words
            };
            assert_eq!(
                words(&canonical),
                words(&rule.replace(" -m tcp ", " ").replace("RELATED,ESTABLISHED", "ESTABLISHED,RELATED"))
            );
        }
    }
}

#[test]
fn a_policy_that_was_changed_is_set_without_touching_rules() {
    let mut want = desired(&standard(), Family::V4);
    let mut have = want.clone();
    let policies = |value: &str| [(("filter".to_owned(), "OUTPUT".to_owned()), value.to_owned())].into();
    want.set_policies(&policies("ACCEPT"));
    have.set_policies(&policies("DROP"));
    let input = plan(&have, &want).unwrap();
    assert!(input.contains("\n:OUTPUT ACCEPT [0:0]\n") && !input.contains("-D "), "{input}");
    assert_eq!(plan(&want, &want), None);
}

proptest::proptest! {
    #[test]
    fn any_text_is_rules_or_an_error_with_a_line_of_it(
        text in "(\\*[a-z]{0,6}\n|:[A-Za-z-]{0,9} (ACCEPT|DROP|-)? ?(\\[0:0\\])?\n|(\\[[0-9]{0,3}:[0-9]{0,3}\\]? ?)?-A (FB-)?[A-Z]{1,9} .{0,30}\n|COMMIT\n|#.{0,9}\n|.{0,20}\n){0,14}"
    ) {
        if let Ok(loaded) = Loaded::parse(&text) {
            let rules = text.lines().filter(|line| line.contains("-A ")).count();
            proptest::prop_assert!(loaded.foreign_rules + loaded.own.rules() <= rules);
            // What we read of our own we can write, and read again.
            if let Some(input) = plan(&Ruleset::default(), &loaded.own) {
                proptest::prop_assert_eq!(Loaded::parse(&input).unwrap().own, loaded.own);
            }
        }
    }
}

#[test]
fn rules_of_others_are_counted_and_not_ours() {
    assert_eq!(Loaded::parse(SAVED_V4).unwrap().foreign_rules, 2);
    assert_eq!(Loaded::parse(SAVED_V6).unwrap().foreign_rules, 0);
}

#[test]
fn restore_input_of_the_standard_policy() {
    for (family, input) in [(Family::V4, INPUT_V4), (Family::V6, INPUT_V6)] {
        assert_eq!(plan(&Ruleset::default(), &desired(&standard(), family)).unwrap(), input);
    }
}

#[test]
fn management_is_never_reachable_from_a_cellular_line() {
    for family in Family::BOTH {
        let rules = desired(&standard(), family);
        let filter = &rules.tables["filter"];
        for rule in
            filter.chains["FB-INPUT"].iter().filter(|r| r.contains("--dport 22") || r.contains("--dport 80"))
        {
            assert!(rule.starts_with("-i eth0 ") && rule.ends_with("-j FB-MANAGEMENT"), "{rule}");
        }
        assert_eq!(filter.chains["FB-INPUT"].last().unwrap(), "-j DROP");
        assert_eq!(filter.chains["FB-FORWARD"].last().unwrap(), "-j DROP");
        assert!(filter.chains["FB-MANAGEMENT"].iter().all(|r| r.starts_with("-s ")));
    }
}

#[test]
fn gateway_mode_lets_the_lan_out_by_the_wired_line_translated() {
    let policy = Policy { wired_uplink: true, ..standard() };
    let rules = desired(&policy, Family::V4);
    assert!(rules.tables["filter"].chains["FB-FORWARD"].contains(&"-i eth0 -o eth0 -j ACCEPT".to_owned()));
    assert!(rules.tables["nat"].chains["FB-POSTROUTING"].contains(&"-o eth0 -j MASQUERADE".to_owned()));
    let backup = desired(&standard(), Family::V4);
    assert!(!backup.tables["nat"].chains["FB-POSTROUTING"].contains(&"-o eth0 -j MASQUERADE".to_owned()));
}

#[test]
fn a_cut_leaves_essential_devices_and_stands_before_what_is_established() {
    let device = |text: &str| Device::Network(text.parse().unwrap());
    let essential = vec![device("10.77.0.20"), device("fd00::20")];
    let allow = vec![Device::Mac("aa:bb:cc:dd:ee:ff".parse().unwrap())];
    let mut metered = Metered { allow, essential, guard: Guard::Cut };
    let rules = |metered: &Metered| {
        let policy = Policy { metered: Some(metered.clone()), ..standard() };
        desired(&policy, Family::V4).tables["filter"].chains.clone()
    };
    let cut = rules(&metered);
    assert_eq!(
        cut["FB-METERED"],
        [
            "-s 10.77.0.20/32 -g FB-PASS",
            "-j CONNMARK --set-xmark 0x2000000/0x2000000",
            "-p tcp -j REJECT --reject-with tcp-reset",
            "-j REJECT --reject-with icmp-admin-prohibited",
        ]
    );
    let forward = &cut["FB-FORWARD"];
    let at = |rule: &str| forward.iter().position(|r| r == rule).unwrap_or_else(|| panic!("{rule}"));
    assert!(at("-o ppp+ -j FB-METERED") < at("-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"));
    metered.guard = Guard::Open;
    assert_eq!(rules(&metered)["FB-METERED"][0], "-m mac --mac-source aa:bb:cc:dd:ee:ff -g FB-PASS");
    // Nobody is refused: nothing is asked.
    metered.allow.clear();
    assert_eq!(rules(&metered), desired(&standard(), Family::V4).tables["filter"].chains);
}

#[test]
fn one_changed_rule_rewrites_its_table_only() {
    let want = desired(&standard(), Family::V4);
    let mut have = want.clone();
    have.tables.get_mut("filter").unwrap().chains.get_mut("FB-INPUT").unwrap().pop();
    let input = plan(&have, &want).unwrap();
    assert!(input.starts_with("*filter\n:FB-FORWARD - [0:0]\n"), "{input}");
    assert!(!input.contains("*nat") && !input.contains("*mangle") && !input.contains(" INPUT "), "{input}");
}

#[test]
fn a_doubled_jump_loses_one_and_a_lost_one_comes_back() {
    let want = desired(&standard(), Family::V4);
    let jump = ("INPUT".to_owned(), "FB-INPUT".to_owned());
    let mut have = want.clone();
    have.tables.get_mut("filter").unwrap().jumps.push(jump.clone());
    assert!(plan(&have, &want).unwrap().contains("-D INPUT -j FB-INPUT\n"));
    have.tables.get_mut("filter").unwrap().jumps.retain(|j| *j != jump);
    assert!(plan(&have, &want).unwrap().contains("-A INPUT -j FB-INPUT\n"));
}

#[test]
fn a_chain_of_an_older_version_is_removed_with_its_jump() {
    let want = desired(&standard(), Family::V4);
    let mut have = want.clone();
    let filter = have.tables.get_mut("filter").unwrap();
    filter.chains.insert("FB-OLD".to_owned(), vec!["-j DROP".to_owned()]);
    filter.jumps.push(("OUTPUT".to_owned(), "FB-OLD".to_owned()));
    let input = plan(&have, &want).unwrap();
    let at = |text: &str| input.find(text).unwrap_or_else(|| panic!("{text} in {input}"));
    assert!(at(":FB-OLD") < at("-D OUTPUT -j FB-OLD") && at("-D OUTPUT -j FB-OLD") < at("-X FB-OLD"));
}

#[test]
fn garbage_is_named_with_its_line() {
    for (text, want) in [
        ("*filter\n:INPUT ACCEPT [0:0]\n", "line 2 of iptables-save: ends inside a table: `filter`"),
        ("-A INPUT -j DROP\n", "line 1 of iptables-save: not inside a table: `-A INPUT -j DROP`"),
        ("*nat\n*filter\n", "line 2 of iptables-save: a table begins inside another: `*filter`"),
        (
            "*nat\nsegmentation fault\n",
            "line 2 of iptables-save: neither chain nor rule: `segmentation fault`",
        ),
    ] {
        assert_eq!(Loaded::parse(text).unwrap_err().to_string(), want);
    }
}
