//! A message as it leaves: with the appliance's name, a link and a time that people can trust.

use serde::{Deserialize, Serialize};
use snapshot::Severity;
use sysio::Monotonic;

use crate::notice::{Item, Kind, Message, Stamp};

/// Everything a channel may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The same in every try.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// What the owner calls this appliance.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Who said it; empty for a summary.
    pub daemon: String,
    /// The condition's id; empty for a summary.
    pub condition: String,
    /// The condition told before whose place it takes.
    pub replaces: Option<String>,
    /// In one line.
    pub title: String,
    /// In some more.
    pub text: String,
    /// The condition's page, or the appliance's.
    pub link: String,
    /// When it was noticed (RFC 3339, UTC); null if no clock could tell.
    pub time: Option<String>,
    /// Seconds from then to this try; null if unknown.
    pub age_seconds: Option<u64>,
    /// What a summary sums up.
    pub items: Vec<Item>,
    /// How many more it does not name.
    pub more: u64,
}

/// What a message is dressed with.
#[derive(Clone, Debug)]
pub struct Sender {
    /// What the owner calls this appliance.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Where condition pages are, without a slash at the end.
    pub pages: Option<String>,
    /// This boot.
    pub boot_id: String,
}

impl Sender {
    /// `message` as it leaves at the moment `now`, `unix` by the wall clock if that is plausible.
    pub fn dress(&self, message: &Message, now: Monotonic, unix: Option<u64>) -> Outgoing {
        let age = self.age(&message.at, now, unix);
        let time = message.at.unix.or_else(|| unix?.checked_sub(age?));
        let notice = message.notice.clone();
        Outgoing {
            id: message.id.clone(),
            kind: notice.kind,
            severity: notice.severity,
            name: self.name.clone(),
            hostname: self.hostname.clone(),
            link: self.link(&notice.condition),
            daemon: notice.daemon,
            condition: notice.condition,
            replaces: notice.replaces,
            title: notice.title,
            text: notice.text,
            time: time.map(rfc3339),
            age_seconds: age,
            items: notice.items,
            more: notice.more,
        }
    }

    fn age(&self, at: &Stamp, now: Monotonic, unix: Option<u64>) -> Option<u64> {
        if at.boot_id == self.boot_id {
            return Some(now.since(Monotonic::from_millis(at.monotonic_ms)).as_secs());
        }
        unix?.checked_sub(at.unix?)
    }

    fn link(&self, condition: &str) -> String {
        let own = || format!("http://{}/conditions", self.hostname);
        match (&self.pages, condition) {
            (None, "") => format!("http://{}/", self.hostname),
            (Some(pages), "") => format!("{pages}/"),
            (pages, id) => format!("{}/{id}", pages.clone().unwrap_or_else(own)),
        }
    }
}

/// Seconds since 1970 in the snapshots' form.
pub fn rfc3339(unix: u64) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(unix));
    // humantime formats up to the year 9999.
    let time = time.filter(|_| unix < 253_402_300_800).unwrap_or(std::time::SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

impl Outgoing {
    /// One line: who, how bad, what.
    pub fn subject(&self) -> String {
        let word = match (self.kind, self.severity) {
            (Kind::Recovery, _) => "ok",
            (Kind::Test, _) => "test",
            (_, Severity::Error) => "error",
            (_, Severity::Warning) => "warning",
            (_, Severity::Info) => "info",
        };
        format!("[{}] {word}: {}", self.name, self.title)
    }

    /// Everything in plain text, without the title and the link.
    pub fn body(&self) -> String {
        let mut lines = Vec::new();
        if !self.text.is_empty() {
            lines.push(self.text.clone());
        }
        lines.extend(self.items.iter().map(|item| {
            let word = if item.kind == Kind::Alert { severity(item.severity) } else { item.kind.as_str() };
            format!("- {word}: {} ({})", item.title, item.condition)
        }));
        if self.more > 0 {
            lines.push(format!("- and {} more; the status page shows what is so now", self.more));
        }
        lines.push(self.when());
        if !self.condition.is_empty() {
            lines.push(format!("{} on {} ({})", self.condition, self.hostname, self.daemon));
        }
        lines.join("\n")
    }

    fn when(&self) -> String {
        let ago = self.age_seconds.map(|age| overview::ago(age.saturating_mul(1000)));
        match (&self.time, ago) {
            (Some(time), _) => format!("Noticed at {time}."),
            (None, Some(ago)) => format!("Noticed {ago} before this message; the clock was not set."),
            (None, None) => "Noticed before the last restart; the clock was not set.".to_owned(),
        }
    }
}

/// The word for a severity.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::notice::{Channel, Notice};

    pub(crate) fn sender() -> Sender {
        Sender { name: "attic".into(), hostname: "failberry".into(), pages: None, boot_id: "b1".into() }
    }

    pub(crate) fn message(boot: &str, unix: Option<u64>) -> Message {
        let notice = Notice::new(
            Kind::Alert,
            Severity::Error,
            "uplink",
            "uplink-none",
            "no line <to> the internet",
            "a & b",
        );
        let at = Stamp { boot_id: boot.into(), monotonic_ms: 100_000, unix };
        Message { id: "box-7".into(), at, notice, pending: vec![Channel::Webhook] }
    }

    #[test]
    fn a_time_is_only_told_when_some_clock_knew_it() {
        let now = Monotonic::from_secs(400);
        let told = |boot, at, unix| {
            let out = sender().dress(&message(boot, at), now, unix);
            (out.time.clone(), out.age_seconds, out.when())
        };
        let noticed = Some("2027-01-15T08:00:00Z".to_owned());
        // Set when it was noticed; set only now; never; noticed in a boot whose clock nobody knows.
        assert_eq!(told("b1", Some(1_800_000_000), None).0, noticed);
        assert_eq!(told("b1", None, Some(1_800_000_300)).0, noticed);
        let (time, age, words) = told("b1", None, None);
        assert_eq!((time, age), (None, Some(300)));
        assert_eq!(words, "Noticed 5 min 0 s before this message; the clock was not set.");
        assert_eq!(
            told("b0", None, Some(1_800_000_300)),
            (None, None, "Noticed before the last restart; the clock was not set.".into())
        );
        assert_eq!(told("b0", Some(1_800_000_000), Some(1_800_000_060)).1, Some(60));
        // The wall clock jumped back by years meanwhile.
        assert_eq!(told("b0", Some(1_800_000_000), Some(1_770_000_000)).1, None);
    }

    #[test]
    fn the_link_leads_to_the_page_of_the_condition() {
        let now = Monotonic::from_secs(400);
        let out = sender().dress(&message("b1", None), now, None);
        assert_eq!(out.link, "http://failberry/conditions/uplink-none");
        let elsewhere = Sender { pages: Some("https://docs.example/c".into()), ..sender() };
        assert_eq!(
            elsewhere.dress(&message("b1", None), now, None).link,
            "https://docs.example/c/uplink-none"
        );
        assert_eq!(out.subject(), "[attic] error: no line <to> the internet");
    }
}
