//! What `iptables-save` prints and what a person wrote, against any bytes.
#![no_main]

use ruleset::{Loaded, OwnRules, Ruleset, canonical_rule, differences, plan};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let once = canonical_rule(&text);
    assert_eq!(canonical_rule(&once), once);
    if let Ok(loaded) = Loaded::parse(&text) {
        let _ = differences(&loaded.own, &Ruleset::default());
        if let Some(input) = plan(&Ruleset::default(), &loaded.own) {
            assert_eq!(Loaded::parse(&input).expect("our own words").own, loaded.own);
        }
    }
    if let Ok(own) = OwnRules::parse(&text) {
        let mut rules = Ruleset::default();
        own.merge_into(&mut rules);
        let input = plan(&Ruleset::default(), &rules).unwrap_or_default();
        assert_eq!(Loaded::parse(&input).expect("our own words").foreign_rules, 0);
    }
});
