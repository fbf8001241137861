use super::*;
use proptest::prelude::*;

fn shipped() -> Known {
    Known::load_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hardware/drivers"))
}

fn host(kernel: &str, machine: &str) -> Host {
    Host { kernel: kernel.into(), machine: vec![machine.into()] }
}

fn driven(name: &str, version: &str, host: &Host) -> Driven {
    let (firmware, bus) = (String::new(), String::new());
    Driven::new(ioctl::ethtool::Driver { name: name.into(), version: version.into(), firmware, bus }, host)
}

fn ids(found: &[(Applies, &Advisory)]) -> Vec<(Applies, String)> {
    found.iter().map(|(applies, advisory)| (*applies, advisory.id.get_ref().clone())).collect()
}

#[test]
fn every_shipped_file_is_usable_and_there_are_a_dozen_advisories_and_more() {
    let known = shipped();
    assert_eq!(known.problems, []);
    assert!(known.drivers.values().map(Vec::len).sum::<usize>() >= 12);
    for name in known.drivers.keys() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../hardware/drivers/{name}.toml"));
        assert!(file.exists(), "{name} is in a file of another name");
    }
}

#[test]
fn the_ixgbevf_of_the_field_story_is_named_on_ec2_and_nowhere_else() {
    let known = shipped();
    let ec2 = host("3.13.0-24-generic", "4.2.amazon");
    let old = driven("ixgbevf", "2.11.3-k", &ec2);
    assert_eq!(ids(&known.about(&old, &ec2)), [(Applies::Yes, "ec2-receive-loss".into())]);
    for new in ["2.14.2", "2.16.4"] {
        assert!(known.about(&driven("ixgbevf", new, &ec2), &ec2).is_empty(), "{new}");
    }
    let home = host("3.13.0-24-generic", "to be filled by o.e.m.");
    assert!(known.about(&old, &home).is_empty());
}

#[test]
fn a_driver_without_a_version_of_its_own_is_said_to_have_none_and_not_compared() {
    let known = shipped();
    let ec2 = host("2.6.32-431", "amazon ec2");
    let in_tree = driven("ixgbevf", "2.6.32-431", &ec2);
    assert_eq!(in_tree.version, None);
    assert_eq!(in_tree.version_words(&ec2), "in-tree, no version of its own (kernel 2.6.32-431)");
    assert!(known.about(&in_tree, &ec2).is_empty());
    let long = host("6.1.0-13-cloud-amd64-with-a-long-suffix", "");
    assert_eq!(driven("ena", &long.kernel[..31], &long).version, None);
}

#[test]
fn a_raspberry_pi_is_told_by_its_device_tree_and_its_kernel() {
    let known = shipped();
    let four = host("4.19.66-v7l+", "raspberrypi,4-model-b");
    let found = ids(&known.about(&driven("bcmgenet", "4.19.66-v7l+", &four), &four));
    assert_eq!(found[0], (Applies::Yes, "no-carrier-after-boot".into()));
    assert!(found[1..].iter().all(|(applies, _)| *applies == Applies::Possibly) && found.len() == 4);
    let newer = host("6.18.10-v8+", "raspberrypi,4-model-b");
    let found = ids(&known.about(&driven("bcmgenet", "6.18.10-v8+", &newer), &newer));
    assert!(found.iter().all(|(applies, _)| *applies == Applies::Possibly) && found.len() == 3);
}

#[test]
fn what_is_wrong_with_a_file_is_named_by_line_and_key() {
    let good = "driver = \"x\"\n[[advisory]]\nid = \"a\"\nsymptom = \"s\"\ncure = \"c\"\nsource = [\"https://e.org\"]\n";
    assert!(parse(good, Path::new("x.toml")).is_ok());
    let cases = [
        (good.replace("cure", "cures"), 5, "cures"),
        (good.replace("id = \"a\"", "id = \"a b\""), 3, "id"),
        (good.replace("https", "http"), 6, "source"),
        (good.replace("symptom = \"s\"", "symptom = \"s\"\nversion-below = \"new\""), 5, "version-below"),
        (good.replace("driver = \"x\"", "driver = 7"), 1, "string"),
    ];
    for (text, line, word) in cases {
        let problem = parse(&text, Path::new("/d/x.toml")).unwrap_err();
        assert_eq!(problem.line, Some(line), "{problem}");
        assert!(problem.to_string().starts_with(&format!("read /d/x.toml, line {line}: ")), "{problem}");
        assert!(problem.cause.contains(word), "{problem}");
    }
}

#[test]
fn a_bad_file_does_not_keep_the_others_from_being_used() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.toml"), "driver = ").unwrap();
    fs::write(folder.path().join("good.toml"), "driver = \"x\"\nadvisory = []\n").unwrap();
    fs::write(folder.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
    let known = Known::load_from(folder.path());
    assert_eq!((known.drivers.len(), known.problems.len()), (1, 2));
    assert_eq!(Known::load_from(&folder.path().join("none")).problems.len(), 1);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,300}") {
        let _ = parse(&text, Path::new("x.toml"));
    }

    #[test]
    fn no_mutation_of_a_real_file_makes_it_panic(at in 0usize..2000, with in ".{0,4}") {
        let mut text = include_str!("../../../../hardware/drivers/bcmgenet.toml").to_owned();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &with);
        let _ = parse(&text, Path::new("x.toml"));
    }
}
