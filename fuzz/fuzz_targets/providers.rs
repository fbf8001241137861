//! What services, name servers and address pages say, against any bytes.
#![no_main]

use dyndns::address::told;
use dyndns::dns::Message;
use dyndns::provider::route53::{health, xml};
use dyndns::provider::{Account, cloudflare, dyndns2, lambda, route53};
use dyndns::talk::{Answer, Family, Order, Step};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for family in Family::BOTH {
        let _ = told(data, family);
        if let Ok(message) = Message::parse(data, 0, false) {
            let _ = message.addresses(family);
        }
    }
    let _ = xml::RecordSets::parse(data);
    let _ = xml::fault(data);
    let _ = xml::accepted(data);
    let _ = health::HealthChecks::parse(data);
    let _ = health::HealthCheck::parse(data);
    let _ = health::observations(data);
    let order = Order { name: "h.example.org".into(), address: [192, 0, 2, 1].into(), ttl: 60 };
    let (url, secret) = ("https://x.example/".to_owned(), "s".to_owned());
    let accounts = [
        Account::Lambda(lambda::Account {
            generation: lambda::Generation::Lambda,
            url: url.clone(),
            secret: secret.clone(),
            api_key: None,
        }),
        Account::Dyndns2(dyndns2::Account { url: url.clone(), user: "u".into(), password: secret.clone() }),
        Account::Cloudflare(cloudflare::Account { url: url.clone(), zone: "z".into(), token: secret.clone() }),
        Account::Route53(route53::Account {
            url,
            zone: "Z1".into(),
            key_id: "k".into(),
            secret,
            set: Some("failberry-wired".into()),
            failover: true,
        }),
    ];
    let (head, body) = data.split_at(data.len().min(2));
    let status = head.iter().fold(0, |status, byte| status << 8 | u16::from(*byte)) % 600;
    for account in accounts {
        let mut talk = account.talk(&order, 1_800_000_000, 7);
        if let Step::Ask(_) = talk.begin() {
            let _ = talk.hear(&Answer { status, retry_after: None, body: body.to_vec() });
        }
    }
});
