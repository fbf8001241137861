//! The conversation about a record set of our own: its health check moves with it.

use super::*;
use crate::provider;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const OLD: &str = "203.0.113.5";
const NEW: &str = "203.0.113.9";

fn talk(failover: bool) -> Talk {
    let account = Account {
        url: URL.into(),
        zone: "Z1".into(),
        key_id: "AKID".into(),
        secret: "sec-ret".into(),
        set: Some("failberry-wired".into()),
        failover,
    };
    Talk::new(&account, &Order { name: "h.example.org".into(), address: NEW.parse().unwrap(), ttl: 60 }, NOW)
}

fn listed(value: &str, check: &str) -> String {
    let check =
        if check.is_empty() { String::new() } else { format!("<HealthCheckId>{check}</HealthCheckId>") };
    format!(
        "<ListResourceRecordSetsResponse xmlns=\"x\"><ResourceRecordSets><ResourceRecordSet><Name>h.example.org.</Name>\
         <Type>A</Type><SetIdentifier>failberry-wired</SetIdentifier><Failover>PRIMARY</Failover><TTL>60</TTL>\
         <ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>{check}\
         </ResourceRecordSet></ResourceRecordSets><IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>"
    )
}

fn check(reference: &str, address: &str) -> String {
    format!(
        "<GetHealthCheckResponse xmlns=\"x\"><HealthCheck><Id>abc-1</Id><CallerReference>{reference}</CallerReference>\
         <HealthCheckConfig><IPAddress>{address}</IPAddress><Port>9000</Port><Type>HTTP</Type>\
         <ResourcePath>/health/wired</ResourcePath><RequestInterval>30</RequestInterval><FailureThreshold>3\
         </FailureThreshold></HealthCheckConfig><HealthCheckVersion>4</HealthCheckVersion></HealthCheck></GetHealthCheckResponse>"
    )
}

const PENDING: &str = "<ChangeResourceRecordSetsResponse xmlns=\"x\"><ChangeInfo><Id>/change/C1</Id>\
    <Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>";
const GONE: &str = "<ErrorResponse xmlns=\"x\"><Error><Code>NoSuchHealthCheck</Code><Message>no</Message></Error></ErrorResponse>";
const DENIED: &str = "<ErrorResponse xmlns=\"x\"><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";

/// What is asked, as method, path and body, and how it ends.
fn play(talk: &mut Talk, answers: &[(u16, &str)]) -> (Vec<(String, String)>, Verdict) {
    let (mut step, mut asked) = (talk.begin(), Vec::new());
    for (status, body) in answers {
        let Step::Ask(Request::Http(http)) = step else { panic!("over before {body}: {step:?}") };
        let path = http.url.trim_start_matches(URL).split('?').next().unwrap_or_default().to_owned();
        asked.push((format!("{} {path}", http.method), String::from_utf8(http.body).unwrap()));
        step = talk.hear(&Answer { status: *status, retry_after: None, body: body.as_bytes().to_vec() });
    }
    assert!(asked.len() <= provider::MOST_REQUESTS);
    match step {
        Step::Done(verdict) => (asked, verdict),
        Step::Ask(request) => panic!("{request:?}"),
    }
}

fn paths(asked: &[(String, String)]) -> Vec<&str> {
    asked.iter().map(|(path, _)| path.as_str()).collect()
}

const LIST: &str = "GET /2013-04-01/hostedzone/Z1/rrset";
const WRITE: &str = "POST /2013-04-01/hostedzone/Z1/rrset/";
const LOOK: &str = "GET /2013-04-01/healthcheck/abc-1";
const MOVE: &str = "POST /2013-04-01/healthcheck/abc-1";

#[test]
fn the_health_check_moves_after_the_record() {
    let (list, found) = (listed(OLD, "abc-1"), check("failberry-0-1", OLD));
    let answers = [(200, &list[..]), (200, PENDING), (200, &found), (200, "<UpdateHealthCheckResponse/>")];
    let (asked, verdict) = play(&mut talk(true), &answers);
    assert_eq!(paths(&asked), [LIST, WRITE, LOOK, MOVE]);
    assert!(asked[1].1.contains("<HealthCheckId>abc-1</HealthCheckId>"), "{}", asked[1].1);
    let expected = "<HealthCheckVersion>4</HealthCheckVersion><IPAddress>203.0.113.9</IPAddress>";
    assert!(asked[3].1.contains(expected), "{}", asked[3].1);
    assert_eq!(verdict, Verdict::Changed { address: NEW.parse().unwrap() });
}

#[test]
fn a_check_that_was_left_behind_by_a_cut_is_found_by_the_next_telling() {
    let (list, found) = (listed(NEW, "abc-1"), check("failberry-0-1", OLD));
    let answers = [(200, &list[..]), (200, &found), (200, "<UpdateHealthCheckResponse/>")];
    let (asked, verdict) = play(&mut talk(true), &answers);
    assert_eq!(paths(&asked), [LIST, LOOK, MOVE]);
    assert_eq!(verdict, Verdict::Same { address: NEW.parse().unwrap() });
    let found = check("failberry-0-1", NEW);
    let (asked, _) = play(&mut talk(true), &[(200, &list), (200, &found)]);
    assert_eq!(paths(&asked), [LIST, LOOK]);
}

#[test]
fn a_check_somebody_else_made_and_a_set_somebody_else_made_are_left_alone() {
    let (list, found) = (listed(OLD, "abc-1"), check("by-hand", OLD));
    let (asked, verdict) = play(&mut talk(true), &[(200, &list), (200, PENDING), (200, &found)]);
    assert_eq!(paths(&asked), [LIST, WRITE, LOOK]);
    assert_eq!(verdict, Verdict::Changed { address: NEW.parse().unwrap() });
    let (asked, _) = play(&mut talk(false), &[(200, &list), (200, PENDING)]);
    assert_eq!(paths(&asked), [LIST, WRITE]);
    let (asked, _) = play(&mut talk(true), &[(200, &listed(OLD, "")), (200, PENDING)]);
    assert_eq!(paths(&asked), [LIST, WRITE]);
}

#[test]
fn nothing_about_a_health_check_stops_the_record_from_following() {
    let list = listed(OLD, "abc-1");
    for said in [GONE, DENIED, "<html>"] {
        let (_, verdict) = play(&mut talk(true), &[(200, &list), (200, PENDING), (403, said)]);
        assert!(
            matches!(&verdict, Verdict::Later { why, .. } if why.contains("the record was told")),
            "{verdict:?}"
        );
    }
    // An id that is none is not asked for.
    let (asked, verdict) = play(&mut talk(true), &[(200, &listed(NEW, "../../x"))]);
    assert!(asked.len() == 1 && matches!(verdict, Verdict::Later { .. }), "{verdict:?}");
}

#[test]
fn sets_that_are_not_made_yet_stop_nothing_and_name_the_command() {
    let other = listed(OLD, "").replace("failberry-wired", "by-hand");
    let (_, verdict) = play(&mut talk(true), &[(200, &other)]);
    assert!(
        matches!(&verdict, Verdict::Later { why, .. } if why.contains("failberry dns apply")),
        "{verdict:?}"
    );
}

proptest! {
    #[test]
    fn no_answer_breaks_it_and_every_conversation_ends(
        bodies in prop::collection::vec((0..4u8, prop::collection::vec(any::<u8>(), 0..300)), 4),
        statuses in prop::collection::vec(prop::sample::select(vec![200, 201, 301, 400, 403, 404, 500]), 4),
    ) {
        let mut talk = talk(true);
        let mut step = talk.begin();
        for ((known, noise), status) in bodies.into_iter().zip(statuses) {
            if matches!(step, Step::Done(_)) {
                break;
            }
            let body = match known {
                0 => listed(OLD, "abc-1").into_bytes(),
                1 => check("failberry-0-1", OLD).into_bytes(),
                2 => PENDING.as_bytes().to_vec(),
                _ => noise,
            };
            step = talk.hear(&Answer { status, retry_after: None, body });
        }
        prop_assert!(matches!(step, Step::Done(_)), "{:?}", step);
    }
}
