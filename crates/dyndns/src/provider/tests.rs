//! Every protocol against what its service is documented to answer, and against anything else.

use super::*;
use crate::provider::lambda::{Generation, proof};
use crate::talk::{Http, Request, Verdict};
use crate::tsig;
use proptest::prelude::*;
use std::net::IpAddr;

const NOW: u64 = 1_800_000_000;

fn order(address: &str) -> Order {
    Order { name: "www.example.com".into(), address: address.parse().unwrap(), ttl: 60 }
}

fn lambda(generation: Generation) -> Account {
    let api_key = (generation == Generation::LambdaV2).then(|| "gatekey".to_owned());
    let url = "https://x.lambda-url.example/".into();
    Account::Lambda(lambda::Account { generation, url, secret: "SuP3R_5eCR3T".into(), api_key })
}

fn dyndns2() -> Account {
    let url = "https://members.example/nic/update".into();
    Account::Dyndns2(dyndns2::Account { url, user: "me".into(), password: "geheim".into() })
}

fn cloudflare() -> Account {
    let url = cloudflare::URL.to_owned();
    Account::Cloudflare(cloudflare::Account { url, zone: "z1".into(), token: "tok-en".into() })
}

fn route53(set: Option<&str>) -> Account {
    Account::Route53(route53::Account {
        url: route53::URL.into(),
        zone: "Z1".into(),
        key_id: "AKID".into(),
        secret: "sec-ret".into(),
        set: set.map(str::to_owned),
        failover: false,
    })
}

fn rfc2136() -> Account {
    Account::Rfc2136(rfc2136::Account {
        host: "ns.example.com".into(),
        port: 53,
        zone: "example.com".into(),
        key: "k.example".into(),
        secret: "c2VjcmV0".into(),
    })
}

fn all() -> Vec<Account> {
    let generations = [Generation::LambdaV1, Generation::LambdaV2, Generation::Lambda];
    let mut all: Vec<_> = generations.into_iter().map(lambda).collect();
    all.extend([dyndns2(), cloudflare(), route53(None), route53(Some("PRIMARY")), rfc2136()]);
    all
}

fn http(step: Step) -> Http {
    match step {
        Step::Ask(Request::Http(http)) => http,
        other => panic!("{other:?}"),
    }
}

fn verdict(step: Step) -> Verdict {
    match step {
        Step::Done(verdict) => verdict,
        Step::Ask(request) => panic!("{request:?}"),
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

/// Plays a conversation with answers in order.
fn play(account: &Account, address: &str, answers: &[(u16, &str)]) -> Verdict {
    let mut talk = account.talk(&order(address), NOW, 7);
    let mut step = talk.begin();
    for (status, body) in answers {
        assert!(matches!(step, Step::Ask(_)), "over before {body}: {step:?}");
        step = talk.hear(&answer(*status, body));
    }
    verdict(step)
}

fn changed(address: &str) -> Verdict {
    Verdict::Changed { address: address.parse().unwrap() }
}

fn same(address: &str) -> Verdict {
    Verdict::Same { address: address.parse().unwrap() }
}

fn code(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Stop { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

fn wait(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Later { at_least, .. } => *at_least,
        other => panic!("{other:?}"),
    }
}

const GET: &str = r#"{"return_status": "success", "return_message": "11.12.13.14"}"#;
const UPDATED: &str =
    r#"{"return_status": "success", "return_message": "www.example.com has been updated to 11.12.13.14"}"#;
const MATCHES: &str = r#"{"return_status": "success",
    "return_message": "Your IP address matches the current Route53 DNS record."}"#;
const MISMATCH: &str = r#"{"return_status": "fail", "return_message": "Validation hashes do not match."}"#;

#[test]
fn the_proof_is_the_published_one() {
    let address: IpAddr = "11.12.13.14".parse().unwrap();
    assert_eq!(
        proof(address, "www.example.com", "SuP3R_5eCR3T"),
        "0eb3fc760ddbd7dca1702ae359b8f990b8a145d719b9d1014da4aa866022dd70"
    );
}

#[test]
fn todays_lambda_is_asked_by_json() {
    let mut talk = lambda(Generation::Lambda).talk(&order("11.12.13.14"), NOW, 7);
    let get = http(talk.begin());
    assert_eq!((get.method, &get.body[..]), ("POST", &br#"{"execution_mode":"get"}"#[..]));
    let set = http(talk.hear(&answer(200, GET)));
    let document: serde_json::Value = serde_json::from_slice(&set.body).unwrap();
    assert_eq!(document["execution_mode"], "set");
    assert_eq!(document["ddns_hostname"], "www.example.com");
    assert_eq!(
        document["validation_hash"],
        "0eb3fc760ddbd7dca1702ae359b8f990b8a145d719b9d1014da4aa866022dd70"
    );
    assert_eq!(verdict(talk.hear(&answer(201, UPDATED))), changed("11.12.13.14"));
}

#[test]
fn older_lambdas_are_asked_by_query_with_a_dot_behind_the_name() {
    for generation in [Generation::LambdaV1, Generation::LambdaV2] {
        let mut talk = lambda(generation).talk(&order("11.12.13.14"), NOW, 7);
        let get = http(talk.begin());
        assert_eq!((get.method, get.url.as_str()), ("GET", "https://x.lambda-url.example/?mode=get"));
        let set = http(talk.hear(&answer(200, GET)));
        let hash = proof("11.12.13.14".parse().unwrap(), "www.example.com.", "SuP3R_5eCR3T");
        let expected =
            format!("https://x.lambda-url.example/?mode=set&hostname=www.example.com.&hash={hash}");
        assert_eq!(set.url, expected);
        let key = set.headers.iter().find(|(name, _)| *name == "x-api-key").map(|(_, v)| v.as_str());
        assert_eq!(key, (generation == Generation::LambdaV2).then_some("gatekey"));
        assert_eq!(verdict(talk.hear(&answer(200, UPDATED))), changed("11.12.13.14"));
    }
}

#[test]
fn the_lambdas_words_and_statuses_are_honoured() {
    let account = lambda(Generation::Lambda);
    assert_eq!(play(&account, "11.12.13.14", &[(200, GET), (200, MATCHES)]), same("11.12.13.14"));
    let fail = |message: &str| format!(r#"{{"return_status": "fail", "return_message": "{message}"}}"#);
    let unknown = fail("There was an issue finding or reading www.example.com configuration");
    assert_eq!(code(&play(&account, "11.12.13.14", &[(200, GET), (403, &unknown)])), "403");
    let old = lambda(Generation::LambdaV1);
    assert_eq!(code(&play(&old, "11.12.13.14", &[(200, GET), (200, &unknown)])), "403");
    assert_eq!(code(&play(&account, "11.12.13.14", &[(200, GET), (400, &fail("hash"))])), "400");
    assert_eq!(wait(&play(&account, "11.12.13.14", &[(200, GET), (500, &fail("Throttling"))])), 600);
    assert_eq!(wait(&play(&account, "11.12.13.14", &[(502, "Internal Server Error")])), 600);
    assert_eq!(wait(&play(&account, "11.12.13.14", &[(302, "")])), 600);
    assert_eq!(code(&play(&old, "11.12.13.14", &[(403, r#"{"message":"Forbidden"}"#)])), "403");
    assert_eq!(code(&play(&account, "2001:db8::1", &[])), "ipv6");
}

#[test]
fn a_refused_proof_is_tried_once_more_only_if_the_address_has_changed() {
    let account = lambda(Generation::Lambda);
    let other = GET.replace("11.12.13.14", "11.12.13.15");
    assert_eq!(code(&play(&account, "11.12.13.14", &[(200, GET), (401, MISMATCH), (200, GET)])), "401");
    let moved = [(200, GET), (401, MISMATCH), (200, other.as_str()), (201, UPDATED)];
    assert_eq!(play(&account, "11.12.13.14", &moved), changed("11.12.13.15"));
    let wild = [(200, GET), (401, MISMATCH), (200, other.as_str()), (401, MISMATCH)];
    assert_eq!(wait(&play(&account, "11.12.13.14", &wild)), 600);
}

#[test]
fn a_proof_is_never_sent_in_the_clear() {
    let Account::Lambda(account) = lambda(Generation::Lambda) else { unreachable!() };
    let account = Account::Lambda(lambda::Account { url: "http://x.example/".into(), ..account });
    assert_eq!(code(&play(&account, "11.12.13.14", &[])), "http");
}

#[test]
fn dyndns2_is_asked_as_specified() {
    let asked = http(dyndns2().talk(&order("192.0.2.5"), NOW, 7).begin());
    assert_eq!(asked.url, "https://members.example/nic/update?hostname=www.example.com&myip=192.0.2.5");
    let header = |name: &str| asked.headers.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    assert_eq!(header("authorization"), "Basic bWU6Z2VoZWlt");
    assert!(header("user-agent").starts_with("Failberry - Raspberry Pi - "));
    let six = http(dyndns2().talk(&order("2001:db8::5"), NOW, 7).begin());
    assert!(six.url.ends_with("&myip=2001%3Adb8%3A%3A5"));
}

#[test]
fn every_code_of_dyndns2_is_honoured_to_the_letter() {
    let said = |body: &str| play(&dyndns2(), "192.0.2.5", &[(200, body)]);
    assert_eq!(said("good 192.0.2.5\r\n"), changed("192.0.2.5"));
    assert_eq!(said("good"), changed("192.0.2.5"));
    assert_eq!(said("nochg 192.0.2.5"), same("192.0.2.5"));
    for stop in ["badauth", "!donator", "badagent", "notfqdn", "nohost", "!yours", "numhost", "abuse"] {
        assert_eq!(code(&said(stop)), stop);
        assert_eq!(code(&play(&dyndns2(), "192.0.2.5", &[(401, stop)])), stop);
    }
    for later in ["dnserr", "911"] {
        assert!(wait(&said(later)) >= 600, "{later}");
    }
    assert_eq!(code(&said("good 127.0.0.1")), "good 127.0.0.1");
    assert_eq!(wait(&said("good 198.51.100.1")), 600);
}

#[test]
fn only_the_first_word_of_a_dyndns2_answer_counts() {
    for lie in ["[200 OK] nohost", "<html>good 192.0.2.5</html>", "goodbye", "GOOD 192.0.2.5", ""] {
        let verdict = play(&dyndns2(), "192.0.2.5", &[(200, lie)]);
        assert!(wait(&verdict) >= 600, "{lie}: {verdict:?}");
    }
    assert!(wait(&play(&dyndns2(), "192.0.2.5", &[(503, "good 192.0.2.5")])) >= 600);
    assert_eq!(code(&play(&dyndns2(), "192.0.2.5", &[(401, "<html>")])), "401");
}

#[test]
fn cloudflare_changes_a_record_only_if_it_differs() {
    let found = r#"{"success":true,"errors":[],"result":[{"id":"r1","content":"192.0.2.9","ttl":60}]}"#;
    let mut talk = cloudflare().talk(&order("192.0.2.5"), NOW, 7);
    let list = http(talk.begin());
    assert!(list.url.ends_with("/zones/z1/dns_records?type=A&name=www.example.com"), "{}", list.url);
    assert!(list.headers.contains(&("authorization", "Bearer tok-en".to_owned())));
    let patch = http(talk.hear(&answer(200, found)));
    assert_eq!(patch.method, "PATCH");
    assert!(patch.url.ends_with("/zones/z1/dns_records/r1"));
    assert_eq!(patch.body, br#"{"content":"192.0.2.5"}"#);
    let done = r#"{"success":true,"errors":[],"result":{"id":"r1","content":"192.0.2.5"}}"#;
    assert_eq!(verdict(talk.hear(&answer(200, done))), changed("192.0.2.5"));
    assert_eq!(play(&cloudflare(), "192.0.2.9", &[(200, found)]), same("192.0.2.9"));
}

#[test]
fn cloudflare_makes_a_record_that_is_missing_and_touches_none_of_several() {
    let none = r#"{"success":true,"errors":[],"result":[]}"#;
    let mut talk = cloudflare().talk(&order("2001:db8::5"), NOW, 7);
    assert!(http(talk.begin()).url.contains("type=AAAA"));
    let post = http(talk.hear(&answer(200, none)));
    let document: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!((post.method, &document["type"], &document["ttl"]), ("POST", &"AAAA".into(), &60.into()));
    let record = r#"{"id":"r1","content":"192.0.2.9"}"#;
    let two = format!(r#"{{"success":true,"result":[{record},{record}]}}"#);
    assert_eq!(code(&play(&cloudflare(), "192.0.2.5", &[(200, &two)])), "several");
    let path = r#"{"success":true,"result":[{"id":"../../x","content":"192.0.2.9"}]}"#;
    assert_eq!(wait(&play(&cloudflare(), "192.0.2.5", &[(200, path)])), 600);
}

#[test]
fn cloudflares_refusals_stop_and_its_troubles_wait() {
    let fail = r#"{"success":false,"errors":[{"code":9109,"message":"Invalid access token"}],"result":null}"#;
    assert_eq!(code(&play(&cloudflare(), "192.0.2.5", &[(403, fail)])), "9109");
    assert_eq!(wait(&play(&cloudflare(), "192.0.2.5", &[(429, "")])), 300);
    assert_eq!(wait(&play(&cloudflare(), "192.0.2.5", &[(520, "<html>")])), 600);
    assert_eq!(wait(&play(&cloudflare(), "192.0.2.5", &[(200, "<html>")])), 30);
}

const LISTED: &str = r#"<?xml version="1.0"?>
<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ResourceRecordSets>
<ResourceRecordSet><Name>www.example.com.</Name><Type>A</Type><SetIdentifier>PRIMARY</SetIdentifier>
<Failover>PRIMARY</Failover><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.9</Value>
</ResourceRecord></ResourceRecords><HealthCheckId>abc-1</HealthCheckId></ResourceRecordSet>
<ResourceRecordSet><Name>www.example.com.</Name><Type>A</Type><SetIdentifier>SECONDARY</SetIdentifier>
<Failover>SECONDARY</Failover><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>198.51.100.9</Value>
</ResourceRecord></ResourceRecords></ResourceRecordSet>
<ResourceRecordSet><Name>xyz.example.com.</Name><Type>A</Type><TTL>30</TTL><ResourceRecords><ResourceRecord>
<Value>192.0.2.5</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>
</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>10</MaxItems>
</ListResourceRecordSetsResponse>"#;

const PENDING: &str = r#"<ChangeResourceRecordSetsResponse xmlns="x"><ChangeInfo><Id>/change/C1</Id>
<Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>"#;

#[test]
fn route53_keeps_role_and_health_check_of_a_record_set() {
    let mut talk = route53(Some("PRIMARY")).talk(&order("192.0.2.5"), NOW, 7);
    let list = http(talk.begin());
    assert_eq!(
        list.url,
        "https://route53.amazonaws.com/2013-04-01/hostedzone/Z1/rrset?maxitems=10&name=www.example.com&type=A"
    );
    let change = http(talk.hear(&answer(200, LISTED)));
    let body = String::from_utf8(change.body).unwrap();
    let expected = "<Action>UPSERT</Action><ResourceRecordSet><Name>www.example.com.</Name><Type>A</Type>\
        <SetIdentifier>PRIMARY</SetIdentifier><Failover>PRIMARY</Failover><TTL>30</TTL><ResourceRecords>\
        <ResourceRecord><Value>192.0.2.5</Value></ResourceRecord></ResourceRecords>\
        <HealthCheckId>abc-1</HealthCheckId></ResourceRecordSet>";
    assert!(body.contains(expected), "{body}");
    assert_eq!(verdict(talk.hear(&answer(200, PENDING))), changed("192.0.2.5"));
    assert_eq!(play(&route53(Some("SECONDARY")), "198.51.100.9", &[(200, LISTED)]), same("198.51.100.9"));
}

#[test]
fn route53_never_guesses_which_record_set() {
    assert_eq!(code(&play(&route53(None), "192.0.2.5", &[(200, LISTED)])), "several");
    assert_eq!(code(&play(&route53(Some("third")), "192.0.2.5", &[(200, LISTED)])), "set");
    let weighted = LISTED.replace("<Failover>PRIMARY</Failover>", "<Weight>1</Weight>");
    assert_eq!(code(&play(&route53(Some("PRIMARY")), "192.0.2.5", &[(200, &weighted)])), "foreign");
}

#[test]
fn route53_makes_a_simple_record_where_there_is_none() {
    let other = LISTED.replace("www.", "zzz.");
    let mut talk = route53(None).talk(&order("2001:db8::5"), NOW, 7);
    assert!(http(talk.begin()).url.ends_with("type=AAAA"));
    let body = String::from_utf8(http(talk.hear(&answer(200, &other))).body).unwrap();
    assert!(body.contains("<Type>AAAA</Type><TTL>60</TTL>") && !body.contains("SetIdentifier"), "{body}");
}

#[test]
fn route53s_errors_stop_or_wait() {
    let error = |code: &str, message: &str| {
        format!(
            "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}\
                 </Message></Error><RequestId>r</RequestId></ErrorResponse>"
        )
    };
    let said = |status, body: &str| play(&route53(None), "192.0.2.5", &[(status, body)]);
    assert_eq!(wait(&said(400, &error("Throttling", "Rate exceeded"))), 30);
    assert_eq!(wait(&said(400, &error("PriorRequestNotComplete", ""))), 30);
    assert_eq!(
        wait(&said(403, &error("SignatureDoesNotMatch", "Signature expired: 2015 is now earlier"))),
        600
    );
    assert_eq!(wait(&said(500, "<html>")), 600);
    for fatal in ["InvalidClientTokenId", "SignatureDoesNotMatch", "AccessDenied", "NoSuchHostedZone"] {
        assert_eq!(code(&said(403, &error(fatal, "no"))), fatal);
    }
    let batch = "<InvalidChangeBatch xmlns=\"x\"><Messages><Message>not permitted</Message></Messages></InvalidChangeBatch>";
    assert_eq!(code(&said(400, batch)), "InvalidChangeBatch");
    assert_eq!(wait(&said(200, "<!DOCTYPE x [<!ENTITY a \"b\">]><ListResourceRecordSetsResponse/>")), 30);
}

/// What a name server answers to the request of [`rfc2136`], whose signature is `mac`.
fn dns(rcode: u8, error: u16, secret: &[u8]) -> Verdict {
    let mut talk = rfc2136().talk(&order("192.0.2.5"), NOW, 7);
    let Step::Ask(Request::Dns { message, .. }) = talk.begin() else { panic!("asks") };
    // The signature is the 32 bytes before original id, error and length of the rest.
    let mac = &message[message.len() - 38..message.len() - 6];
    let key = tsig::tests::key(secret);
    let body = tsig::tests::answer(&key, 7, rcode, mac, NOW, error);
    verdict(talk.hear(&Answer { body, ..Answer::default() }))
}

#[test]
fn a_name_servers_signed_codes_are_honoured() {
    assert_eq!(dns(0, 0, b"secret"), changed("192.0.2.5"));
    for (rcode, word) in [(5, "REFUSED"), (9, "NOTAUTH"), (10, "NOTZONE"), (1, "FORMERR"), (4, "NOTIMP")] {
        assert_eq!(code(&dns(rcode, 0, b"secret")), word);
    }
    assert_eq!(wait(&dns(2, 0, b"secret")), 600);
    assert_eq!(wait(&dns(9, tsig::BADTIME, b"secret")), 600);
}

#[test]
fn an_unsigned_answer_of_a_name_server_neither_succeeds_nor_stops() {
    for rcode in [0, 5, 9] {
        assert_eq!(wait(&dns(rcode, 0, b"not the secret")), 3600);
    }
    let mut talk = rfc2136().talk(&order("192.0.2.5"), NOW, 7);
    let head = [0, 7, 0xa8, 9, 0, 0, 0, 0, 0, 0, 0, 0];
    for (error, word) in [(tsig::BADKEY, "BADKEY"), (tsig::BADSIG, "BADSIG")] {
        let body = tsig::tests::record(&tsig::tests::key(b"x"), &head, &[], 0, error);
        assert_eq!(code(&verdict(talk.hear(&Answer { body, ..Answer::default() }))), word);
    }
}

#[test]
fn a_name_outside_its_zone_is_not_sent() {
    let mut outside = order("192.0.2.5");
    outside.name = "www.example.org".into();
    assert_eq!(code(&verdict(rfc2136().talk(&outside, NOW, 7).begin())), "configuration");
}

#[test]
fn no_secret_is_in_debug_output_or_left_by_scrubbing() {
    for account in all() {
        let shown = format!("{account:?}");
        let scrubbed = account.scrub(&format!("sent {}", account.secrets().join(" and ")));
        for secret in account.secrets() {
            assert!(!shown.contains(secret) && !scrubbed.contains(secret), "{shown} {scrubbed}");
        }
    }
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let known =
        prop::sample::select(vec![GET, UPDATED, MISMATCH, LISTED, PENDING, "good 192.0.2.5", "abuse"]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (known, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, with)| {
            let mut bytes = text.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            bytes
        }),
    ]
}

proptest! {
    /// Whatever a service answers, a conversation ends within its bound, and no verdict says a secret
    /// or more than some lines.
    #[test]
    fn every_conversation_ends(
        answers in prop::collection::vec((0u16..600, bodies()), MOST_REQUESTS),
    ) {
        for account in all() {
            let mut talk = account.talk(&order("11.12.13.14"), NOW, 7);
            let mut step = talk.begin();
            for (status, body) in &answers {
                let Step::Ask(_) = step else { break };
                step = talk.hear(&Answer { status: *status, retry_after: Some(5), body: body.clone() });
            }
            let Step::Done(verdict) = step else { panic!("no end of {account:?}") };
            let length = format!("{verdict:?}").len();
            prop_assert!(length < 800);
        }
    }

    /// A success is never made of an answer that is none: only these words are.
    #[test]
    fn noise_is_never_a_success(status in 0u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
        for account in all() {
            let mut talk = account.talk(&order("11.12.13.14"), NOW, 7);
            if let Step::Done(verdict) = talk.hear(&Answer { status, retry_after: None, body: body.clone() }) {
                let success = matches!(verdict, Verdict::Changed { .. } | Verdict::Same { .. });
                prop_assert!(!success, "{:?} {:?}", account, verdict);
            }
        }
    }
}
