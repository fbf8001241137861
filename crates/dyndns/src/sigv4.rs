//! AWS Signature Version 4 (IAM user guide, "Create a signed AWS API request").

use ring::{digest, hmac};

use crate::talk::{hex, percent};

/// Who signs. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Signer {
    /// Access key id.
    pub key_id: String,
    /// Secret access key.
    pub secret: String,
    /// Region; Route 53 is in `us-east-1` for the whole world.
    pub region: String,
    /// Service.
    pub service: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// GET, POST.
    pub method: &'a str,
    /// Host, with its port where that is not the usual one.
    pub host: &'a str,
    /// Path as it is sent.
    pub path: &'a str,
    /// Names and values of the query, not escaped.
    pub query: &'a [(&'a str, &'a str)],
    /// Further header fields to sign, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body.
    pub body: &'a [u8],
}

/// The moment as the protocol writes it: `20150830T123600Z`.
pub fn stamp(unix: u64) -> String {
    // humantime formats up to the year 9999; a clock beyond it is as wrong as one at zero.
    let unix = if unix < 253_402_300_800 { unix } else { 0 };
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(unix);
    humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "")
}

/// A query in the order that is signed, which is also how it is sent.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut escaped: Vec<_> = pairs.iter().map(|(name, value)| (percent(name), percent(value))).collect();
    escaped.sort();
    escaped.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

impl Signer {
    /// The header fields to send along: `x-amz-date` and `authorization`.
    pub fn sign(&self, request: &Signed<'_>, unix: u64) -> Vec<(&'static str, String)> {
        let stamp = stamp(unix);
        let day = &stamp[..stamp.len().min(8)];
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let (canonical, names) = canonical(request, &stamp);
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hash(canonical.as_bytes()));
        let signature = hex(&mac(&self.key(day), text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key_id
        );
        vec![("x-amz-date", stamp), ("authorization", authorization)]
    }

    fn key(&self, day: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.secret);
        [day, &self.region, &self.service, "aws4_request"]
            .iter()
            .fold(first.into_bytes(), |key, part| mac(&key, part.as_bytes()))
    }
}

/// The canonical request, and the names of the header fields in it.
fn canonical(request: &Signed<'_>, stamp: &str) -> (String, String) {
    let mut headers: Vec<(String, String)> =
        vec![("host".to_owned(), request.host.to_owned()), ("x-amz-date".to_owned(), stamp.to_owned())];
    // Blanks around and runs of blanks within a value do not count.
    let trimmed = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    headers.extend(request.headers.iter().map(|(name, value)| (name.to_lowercase(), trimmed(value))));
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let lines = lines.concat();
    // Every service but S3 escapes what is sent once more.
    let path = request.path.split('/').map(percent).collect::<Vec<_>>().join("/");
    let canonical = format!(
        "{}\n{path}\n{}\n{lines}\n{names}\n{}",
        request.method,
        query(request.query),
        hash(request.body)
    );
    (canonical, names)
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z.
    const THEN: u64 = 1_440_938_160;

    fn signer() -> Signer {
        Signer {
            key_id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            region: "us-east-1".into(),
            service: "service".into(),
        }
    }

    fn plain(method: &'static str) -> Signed<'static> {
        Signed { method, host: "example.amazonaws.com", path: "/", query: &[], headers: &[], body: b"" }
    }

    fn signature(request: &Signed<'_>) -> String {
        let fields = signer().sign(request, THEN);
        assert_eq!(fields[0], ("x-amz-date", "20150830T123600Z".to_owned()));
        fields[1].1.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// The cases of AWS's signature version 4 test suite, by their names there.
    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let get_vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(signature(&plain("GET")), get_vanilla);
        let post_vanilla = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        assert_eq!(signature(&plain("POST")), post_vanilla);
        let get_vanilla_query_order_key_case =
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        let pairs = [("Param2", "value2"), ("Param1", "value1")];
        assert_eq!(signature(&Signed { query: &pairs, ..plain("GET") }), get_vanilla_query_order_key_case);
        let post_form = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let request = Signed { headers: &form, body: b"Param1=value1", ..plain("POST") };
        assert_eq!(signature(&request), post_form);
        let get_header_value_trim = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736";
        let headers = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        assert_eq!(signature(&Signed { headers: &headers, ..plain("GET") }), get_header_value_trim);
    }

    #[test]
    fn the_fields_name_key_and_scope_and_not_the_secret() {
        let fields = signer().sign(&plain("GET"), THEN);
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                        SignedHeaders=host;x-amz-date, Signature=";
        assert!(fields[1].1.starts_with(expected), "{}", fields[1].1);
        assert!(!format!("{fields:?} {:?}", signer()).contains("wJalr"));
    }

    #[test]
    fn a_clock_beyond_all_years_breaks_nothing() {
        assert_eq!(stamp(u64::MAX), "19700101T000000Z");
    }
}
