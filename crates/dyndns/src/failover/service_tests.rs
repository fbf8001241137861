//! Lists of several pages, refusals that pass, and secrets that a service repeats.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::provider::route53::URL;

/// Answers in order, and what was asked; waits are none.
struct Script {
    answers: RefCell<VecDeque<(u16, String)>>,
    asked: RefCell<Vec<String>>,
}

impl Script {
    fn new(answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        Self { answers: RefCell::new(answers), asked: RefCell::default() }
    }

    fn answer(&self, http: &Http) -> Result<Answer, String> {
        self.asked.borrow_mut().push(http.url.trim_start_matches(URL).to_owned());
        let (status, body) = self.answers.borrow_mut().pop_front().ok_or("nobody there")?;
        Ok(Answer { status, retry_after: None, body: body.into_bytes() })
    }
}

fn with<T>(script: &Script, work: impl FnOnce(&mut Remote<'_>) -> T) -> T {
    let account = route53::Account {
        url: URL.into(),
        zone: "Z1".into(),
        key_id: "AK".into(),
        secret: "sec-ret".into(),
        set: None,
        failover: true,
    };
    let ask = |http: &Http| script.answer(http);
    work(&mut Remote { account, ask: &ask, unix: || 1_800_000_000, pause: |_: Duration| {} })
}

fn page(names: &[(&str, &str)], next: Option<(&str, &str)>) -> String {
    let sets: Vec<String> = names
        .iter()
        .map(|(name, id)| {
            format!(
                "<ResourceRecordSet><Name>{name}</Name><Type>A</Type><SetIdentifier>{id}</SetIdentifier><TTL>60</TTL>\
                 <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>\
                 </ResourceRecordSet>"
            )
        })
        .collect();
    let sets = sets.concat();
    let tail = next.map_or_else(
        || "<IsTruncated>false</IsTruncated>".to_owned(),
        |(name, id)| {
            format!(
                "<IsTruncated>true</IsTruncated><NextRecordName>{name}</NextRecordName><NextRecordType>A</NextRecordType>\
                 <NextRecordIdentifier>{id}</NextRecordIdentifier>"
            )
        },
    );
    format!(
        "<ListResourceRecordSetsResponse xmlns=\"x\"><ResourceRecordSets>{sets}</ResourceRecordSets>{tail}</ListResourceRecordSetsResponse>"
    )
}

fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"x\"><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
}

const NONE: &str = "<ListHealthChecksResponse xmlns=\"x\"><HealthChecks/><IsTruncated>false</IsTruncated></ListHealthChecksResponse>";

#[test]
fn a_list_is_read_to_the_end_of_the_name_and_no_further() {
    let first = page(&[("h.example.org.", "a"), ("h.example.org.", "b")], Some(("h.example.org.", "c&d")));
    let second =
        page(&[("h.example.org.", "c&amp;d"), ("i.example.org.", "x")], Some(("i.example.org.", "y")));
    let first = first.replace("c&d", "c&amp;d");
    let script = Script::new(&[(200, &first), (200, &second)]);
    let sets = with(&script, |remote| remote.sets("H.example.org")).unwrap();
    let ids: Vec<_> = sets.iter().filter_map(|set| set.identifier.as_deref()).collect();
    assert_eq!(ids, ["a", "b", "c&d"]);
    let asked = script.asked.borrow();
    assert!(asked[0].ends_with("rrset?maxitems=10&name=h.example.org."), "{}", asked[0]);
    assert!(asked[1].contains("identifier=c%26d&maxitems=10&name=h.example.org.&type=A"), "{}", asked[1]);
}

#[test]
fn a_list_without_end_is_given_up() {
    let same = page(&[("h.example.org.", "a")], Some(("h.example.org.", "a")));
    let script = Script::new(&vec![(200, &same[..]); 1000]);
    let error = with(&script, |remote| remote.sets("h.example.org")).unwrap_err();
    assert_eq!(error, ServiceError::Endless("list the record sets of the name"));
    assert_eq!(script.asked.borrow().len(), MOST_SET_PAGES);
}

#[test]
fn what_passes_is_asked_again_and_what_does_not_is_not() {
    let (throttled, busy) = (error("Throttling", "Rate exceeded"), error("PriorRequestNotComplete", "wait"));
    let script = Script::new(&[(400, &throttled), (400, &busy), (503, ""), (200, NONE)]);
    assert!(with(&script, |remote| remote.checks()).unwrap().is_empty());
    assert_eq!(script.asked.borrow().len(), 4);
    let script = Script::new(&vec![(400, &throttled[..]); 100]);
    let refused = with(&script, |remote| remote.checks()).unwrap_err().to_string();
    assert!(refused.starts_with("list the health checks: ") && refused.contains("Throttling"), "{refused}");
    assert_eq!(script.asked.borrow().len(), TRIES as usize);
    let denied = error("AccessDenied", "not authorized");
    let script = Script::new(&[(403, &denied), (200, NONE)]);
    assert!(with(&script, |remote| remote.checks()).is_err());
    assert_eq!(script.asked.borrow().len(), 1);
}

#[test]
fn a_used_reference_is_no_error_and_a_secret_in_an_answer_is_not_repeated() {
    let config = crate::failover::wanted::check("192.0.2.1".parse().unwrap());
    let taken = error("HealthCheckAlreadyExists", "the caller reference was used");
    let script = Script::new(&[(409, &taken)]);
    assert_eq!(with(&script, |remote| remote.create_check("failberry-1", &config)), Ok(Created::Taken));
    let telling = error("AccessDenied", "you signed with sec-ret");
    let script = Script::new(&[(403, &telling)]);
    let refused = with(&script, |remote| remote.create_check("failberry-1", &config)).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("sec-ret"), "{refused}");
    assert!(refused.to_string().contains("***"), "{refused}");
}

#[test]
fn a_change_is_waited_for_and_not_for_ever() {
    let how = |status: &str| {
        format!(
            "<GetChangeResponse xmlns=\"x\"><ChangeInfo><Id>/change/C1</Id><Status>{status}</Status></ChangeInfo></GetChangeResponse>"
        )
    };
    let (pending, synced) = (how("PENDING"), how("INSYNC"));
    let script = Script::new(&[(200, &pending), (200, &pending), (200, &synced)]);
    assert_eq!(with(&script, |remote| remote.await_sync("/change/C1")), Ok(true));
    assert_eq!(script.asked.borrow()[0], "/2013-04-01/change/C1");
    let script = Script::new(&vec![(200, &pending[..]); 1000]);
    assert_eq!(with(&script, |remote| remote.await_sync("/change/C1")), Ok(false));
    assert_eq!(script.asked.borrow().len() as u64, SYNC.as_secs() / SYNC_POLL.as_secs());
    let script = Script::new(&[]);
    assert!(with(&script, |remote| remote.await_sync("/change/../../x")).is_err());
    assert!(script.asked.borrow().is_empty());
}
