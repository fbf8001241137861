use super::*;
use crate::Mode;
use proptest::prelude::*;

fn problems(text: &str) -> Vec<Problem> {
    parse(text.as_bytes()).expect_err("the file has problems")
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parse(b"").unwrap(), Config::default());
}

#[test]
fn a_typo_a_wrong_type_and_an_unknown_section_are_all_named_with_line_and_hint() {
    let found = problems("[modem]\napm = \"internet\"\nroaming = \"yes\"\n\n[newtork]\nmode = \"backup\"\n");
    let brief: Vec<_> = found.iter().map(|p| (p.line, p.operand.as_str(), p.cause.as_str())).collect();
    assert_eq!(
        brief,
        [
            (2, "modem.apm", "unknown key"),
            (3, "modem.roaming", "text where true or false is expected"),
            (5, "[newtork]", "unknown section"),
        ]
    );
    assert_eq!(found[0].hint, "did you mean apn?");
    assert_eq!(found[2].hint, "did you mean [network]?");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine_and_lines_still_count() {
    let config = parse("\u{feff}[network]\r\nmode = \"gateway\"\r\n".as_bytes()).unwrap();
    assert_eq!(config.network.mode, Mode::Gateway);
    assert_eq!(problems("\u{feff}[network]\r\n\r\nmode = \"bakcup\"\r\n")[0].line, 3);
}

#[test]
fn broken_syntax_hides_no_other_problem() {
    let found = problems("[modem]\napn = internet\nroaming = 1\npin = 0123\n");
    let lines: Vec<_> = found.iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 3, 4], "{found:?}");
    assert!(found[0].hint.contains("double quotes"));
}

#[test]
fn typographic_quotes_are_recognised() {
    assert!(problems("[modem]\napn = “internet”\n")[0].hint.contains("typographic"));
}

#[test]
fn a_misplaced_key_is_sent_to_its_section() {
    assert_eq!(problems("[system]\napn = \"x\"\n")[0].hint, "apn belongs below [modem]");
    assert_eq!(problems("apn = \"x\"\n")[0].hint, "put it below a line [modem]");
    assert!(problems("[system]\nsomething-else = 1\n")[0].hint.contains("hostname"));
}

#[test]
fn every_wrong_element_of_a_list_is_named_by_its_own_line() {
    let text = "[network]\nmanagement-networks = [\n  \"10.0.0.0/8\",\n  \"10.1.2.3/8\",\n  7,\n]\n";
    let found = problems(text);
    assert_eq!(found.iter().map(|p| p.line).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(found[0].hint, "10.0.0.0/8");
}

#[test]
fn values_out_of_range_are_refused() {
    for wrong in [
        "[system]\nhostname = \"-x\"",
        "[system]\nhostname = \"a.b\"",
        "[modem]\napn = \"a\\\"b\"",
        "[modem]\nuser = \"a\\nb\"",
        "[modem]\npin = \"123\"",
        "[modem]\npin = \"123456789\"",
        "[modem]\ndial-number = \"*99#\\r\"",
        "[network]\nlan-interface = \"eth+\"",
        "[network]\nlan-interface = \"sixteen-letters-\"",
        "[network]\nmanagement-networks = [\"0.0.0.0/0\"]",
        "[network]\nmanagement-networks = [\"10.0.0.0/33\"]",
        "[network]\nopen-ports = [\"0/tcp\"]",
        "[network]\nopen-ports = [\"65536/tcp\"]",
        "[network]\nopen-ports = [\"22/sctp\"]",
        "[metered]\nquota = 5",
        "[metered]\nquota = \"5\"",
        "[metered]\nbilling-day = 32",
        "[metered]\nbilling-day = \"1\"",
        "[metered]\nallow = [\"aa:bb\"]",
        "[metered]\ngroups = [\"office\"]",
        "modem = 3",
        "[[modem]]",
    ] {
        let found = problems(wrong);
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        assert!(!found[0].hint.is_empty());
    }
}

#[test]
fn a_secret_is_never_repeated_in_a_problem() {
    for text in [
        "[modem]\npin = \"987654321\"",
        "[modem]\npin = 98765",
        "[modem]\npassword = 98765",
        "[modem]\npasword = \"98765\"",
        "[modem]\npassword = \"98765\\u0000\"",
        "[modem]\npin = 098765",
        "[modem]\npassword = 98765 4",
    ] {
        for problem in problems(text) {
            assert!(!problem.describe("f").contains("9876"), "{}", problem.describe("f"));
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line() {
    let found = parse(b"[modem]\napn = \"caf\xe9\"\n").unwrap_err();
    assert_eq!((found[0].line, found[0].cause.as_str()), (2, "not UTF-8 text"));
    let large = vec![b'#'; MAX_BYTES + 1];
    assert!(parse(&large).unwrap_err()[0].cause.contains("larger"));
}

#[test]
fn empty_text_leaves_an_optional_key_unset() {
    assert_eq!(parse(b"[modem]\napn = \"\"\npin = \"\"\n").unwrap(), Config::default());
}

#[test]
fn control_characters_in_a_name_do_not_reach_the_terminal() {
    let found = problems("[modem]\n\"\\u001b[2J\" = 1\n");
    assert!(!found[0].operand.contains('\u{1b}'));
}

#[test]
fn a_group_that_is_used_must_exist_and_be_defined_once() {
    let text = "[metered]\nallow = [\n  \"office\",\n  \"ofice\",\n]\n\
                groups = [\n  \"office: 10.0.0.1\",\n  \"office: 10.0.0.2\",\n]\n";
    let found = problems(text);
    let brief: Vec<_> = found.iter().map(|p| (p.line, p.operand.as_str(), p.cause.as_str())).collect();
    let wanted = [
        (4, "metered.allow", "no group is called ofice"),
        (8, "metered.groups", "a second group called office"),
    ];
    assert_eq!(brief, wanted);
    assert!(found[0].hint.starts_with("groups are: office;"), "{}", found[0].hint);
    let right = "[metered]\nessential = [\"office\"]\ngroups = [\"office: 10.0.0.1\"]\nquota = \"5 GB\"\n";
    let config = parse(right.as_bytes()).unwrap();
    for daemon in ["uplink", "netguard"] {
        assert_eq!(parse(crate::slice(&config, daemon).as_bytes()).unwrap().metered, config.metered);
    }
}

/// Text made of what configuration files are made of, so that the checker is reached, not only the parser.
fn likely() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[modem]\n"),
        Just("[network]\r\n"),
        Just("[[system]]\n"),
        Just("apn = "),
        Just("pin = "),
        Just("open-ports = ["),
        Just("mode.x = "),
        Just("\"a\""),
        Just("'b'"),
        Just("\n"),
        Just("]"),
        Just("{"),
        Just("\u{feff}"),
        Just("é"),
        Just("0123"),
        Just("true"),
        Just("1979-05-27"),
        Just("\"\"\""),
        Just(","),
        Just("#"),
        Just("= "),
        Just("\\u00"),
        Just("}"),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn likely_text_never_panics_and_problems_lie_inside_it(text in likely()) {
        if let Err(found) = parse(text.as_bytes()) {
            prop_assert!(!found.is_empty());
            let last = text.matches('\n').count() + 1;
            prop_assert!(found.iter().all(|p| (1..=last).contains(&p.line) && !p.hint.is_empty()));
        }
    }

    #[test]
    fn what_is_written_is_read_back(apn in "[a-z0-9.-]{1,100}", user in "[^\\p{Cc}]{1,60}", pin in "[0-9]{4,8}") {
        let text = format!(
            "[modem]\napn = {}\nuser = {}\npin = {}\n",
            toml::Value::from(apn), toml::Value::from(user), toml::Value::from(pin)
        );
        let config = parse(text.as_bytes()).unwrap();
        let again = parse(crate::slice(&config, "modem-dialer").as_bytes()).unwrap();
        prop_assert_eq!(again.modem, config.modem);
    }
}

#[test]
fn a_name_needs_an_account_that_is_defined_once() {
    let name = "names = [\"h.example.org account=b\"]";
    let account = "\"a: cloudflare zone=z token=geheim\"";
    let problems = parse(format!("[dyndns]\naccounts = [{account}]\n{name}\n").as_bytes()).unwrap_err();
    assert_eq!((problems.len(), problems[0].line), (1, 3));
    assert!(problems[0].hint.contains("accounts are: a;"), "{problems:?}");
    let problems = parse(format!("[dyndns]\naccounts = [{account}, {account}]\n").as_bytes()).unwrap_err();
    assert!(problems[0].cause.contains("a second account") && !format!("{problems:?}").contains("geheim"));
}

#[test]
fn failover_records_are_route_53s() {
    let with = |account: &str| {
        let names = "names = [\"h.example.org account=a failover=yes\"]";
        parse(format!("[dyndns]\n{names}\naccounts = [\"a: {account}\"]\n").as_bytes())
    };
    assert!(with("route53 zone=Z1 key-id=AK secret=geheim").is_ok());
    let problems = with("cloudflare zone=z token=geheim").unwrap_err();
    assert_eq!((problems.len(), problems[0].line), (1, 2));
    assert!(problems[0].cause.contains("no account of Route 53"), "{problems:?}");
}

#[test]
fn pages_are_sixteen_at_most() {
    let pages = |n: usize| format!("[prober]\ntargets = [{}]\n", "\"https://x.example/\",".repeat(n));
    assert!(parse(pages(16).as_bytes()).is_ok());
    let problems = parse(pages(17).as_bytes()).unwrap_err();
    assert_eq!((problems.len(), problems[0].operand.as_str()), (1, "prober.targets"));
}
