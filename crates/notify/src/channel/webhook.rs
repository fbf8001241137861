//! The generic webhook: one JSON document (docs/notifications.md), optionally with a bearer token
//! (RFC 6750) and a signature over the body (HMAC-SHA256, RFC 2104, in hexadecimal).

use std::fmt::Write as _;

use ring::hmac;
use serde_json::json;

use super::Post;
use crate::outgoing::Outgoing;

/// Version of the document.
const SCHEMA: u32 = 1;

pub(super) fn post(url: &str, token: Option<&str>, secret: Option<&str>, message: &Outgoing) -> Post {
    let mut document = json!(message);
    document["schema"] = SCHEMA.into();
    let body = document.to_string().into_bytes();
    let mut headers =
        vec![("Content-Type", "application/json".to_owned()), ("Idempotency-Key", message.id.clone())];
    headers.extend(token.map(|token| ("Authorization", format!("Bearer {token}"))));
    headers.extend(secret.map(|secret| ("X-Failberry-Signature", format!("sha256={}", sign(secret, &body)))));
    Post { url: url.to_owned(), headers, body }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, body).as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::{message, sender};
    use sysio::Monotonic;

    #[test]
    fn the_signature_is_hmac_sha256() {
        // RFC 4231, 4.3, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign("Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn the_document_says_everything_and_is_signed_as_it_is_sent() {
        let out = sender().dress(&message("b1", Some(1_800_000_000)), Monotonic::from_secs(130), None);
        let post = post("https://example.org/h", Some("tok"), Some("key"), &out);
        let document: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
        assert_eq!(document["schema"], 1);
        assert_eq!(document["id"], "box-7");
        assert_eq!(document["kind"], "alert");
        assert_eq!(document["severity"], "error");
        assert_eq!(document["condition"], "uplink-none");
        assert_eq!(document["time"], "2027-01-15T08:00:00Z");
        assert_eq!(document["age_seconds"], 30);
        let header = |name| post.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("Authorization"), Some("Bearer tok"));
        assert_eq!(
            header("X-Failberry-Signature"),
            Some(format!("sha256={}", sign("key", &post.body)).as_str())
        );
    }
}
