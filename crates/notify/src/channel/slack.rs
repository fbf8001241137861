//! Incoming webhooks as Slack has them; Mattermost and Rocket.Chat take the same.

use serde_json::json;

use super::Post;
use crate::notice::Kind;
use crate::outgoing::Outgoing;

pub(super) fn post(url: &str, message: &Outgoing) -> Post {
    let sign = match message.kind {
        Kind::Recovery => ":white_check_mark:",
        Kind::Test => ":wave:",
        Kind::Alert | Kind::Reminder | Kind::Summary => ":rotating_light:",
    };
    let text = format!(
        "{sign} *{}*\n{}\n<{}|what this means>",
        escaped(&message.subject()),
        escaped(&message.body()),
        escaped(&message.link)
    );
    let body = json!({ "text": text }).to_string().into_bytes();
    Post { url: url.to_owned(), headers: vec![("Content-Type", "application/json".to_owned())], body }
}

/// The three characters that are markup there:
/// <https://docs.slack.dev/messaging/formatting-message-text/#escaping>.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::{message, sender};
    use sysio::Monotonic;

    #[test]
    fn what_a_condition_says_cannot_become_markup() {
        let out = sender().dress(&message("b1", None), Monotonic::from_secs(130), None);
        let document: serde_json::Value = serde_json::from_slice(&post("https://h/", &out).body).unwrap();
        let text = document["text"].as_str().unwrap();
        assert!(text.contains("no line &lt;to&gt; the internet") && text.contains("a &amp; b"), "{text}");
        assert!(text.ends_with("<http://failberry/conditions/uplink-none|what this means>"), "{text}");
    }
}
