//! ntfy: a JSON document to the server's root (<https://docs.ntfy.sh/publish/#publish-as-json>),
//! because header fields cannot carry every letter of a title.

use serde_json::json;
use snapshot::Severity;

use super::Post;
use crate::notice::Kind;
use crate::outgoing::Outgoing;

/// Nothing without a topic in the address.
pub(super) fn post(url: &str, token: Option<&str>, message: &Outgoing) -> Option<Post> {
    let (server, topic) = url.trim_end_matches('/').rsplit_once('/')?;
    // `https:/` is what is left of an address that ends with the host.
    if topic.is_empty() || !server.contains("://") || server.ends_with('/') {
        return None;
    }
    // Priorities and tags that become emojis: https://docs.ntfy.sh/publish/#message-priority, #tags-emojis.
    let (priority, tag) = match (message.kind, message.severity) {
        (Kind::Recovery, _) => (3, "white_check_mark"),
        (Kind::Test, _) => (3, "wave"),
        (_, Severity::Error) => (4, "rotating_light"),
        (_, Severity::Warning) => (3, "warning"),
        (_, Severity::Info) => (2, "information_source"),
    };
    let mut tags = vec![tag, message.kind.as_str()];
    if !message.condition.is_empty() {
        tags.push(&message.condition);
    }
    let document = json!({
        "topic": topic, "title": message.subject(), "message": message.body(), "priority": priority,
        "tags": tags, "click": message.link,
    });
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    headers.extend(token.map(|token| ("Authorization", format!("Bearer {token}"))));
    Some(Post { url: format!("{server}/"), headers, body: document.to_string().into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::{message, sender};
    use sysio::Monotonic;

    #[test]
    fn the_topic_moves_from_the_address_into_the_document() {
        let out = sender().dress(&message("b1", None), Monotonic::from_secs(130), None);
        let post = post("https://ntfy.example/base/topic", Some("tk"), &out).unwrap();
        assert_eq!(post.url, "https://ntfy.example/base/");
        let document: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
        assert_eq!(document["topic"], "topic");
        assert_eq!(document["priority"], 4);
        assert_eq!(document["click"], "http://failberry/conditions/uplink-none");
        assert_eq!(document["tags"][2], "uplink-none");
    }

    #[test]
    fn an_address_without_a_topic_is_none() {
        let out = sender().dress(&message("b1", None), Monotonic::from_secs(130), None);
        for url in ["https://ntfy.sh", "https://ntfy.sh/"] {
            assert_eq!(post(url, None, &out), None, "{url}");
        }
    }
}
