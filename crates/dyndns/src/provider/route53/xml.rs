//! The documents of Route 53's API (version 2013-04-01), written and read.

use std::fmt::Write as _;

use roxmltree::{Document, Node, ParsingOptions};

pub(super) const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// Ten record sets have some hundred elements.
const MOST_NODES: u32 = 4096;

/// What happens to a record set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Must not be there yet.
    Create,
    /// Is made or replaced.
    Upsert,
    /// Must be there, with these very values.
    Delete,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Upsert => "UPSERT",
            Self::Delete => "DELETE",
        }
    }
}

/// One of several changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub action: Action,
    /// To what.
    pub set: RecordSet,
}

/// The records of one name and type, or of one role of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSet {
    /// Name, in the service's form: lower case, a dot at the end.
    pub name: String,
    /// A, AAAA and others.
    pub kind: String,
    /// Which of several.
    pub identifier: Option<String>,
    /// PRIMARY or SECONDARY.
    pub failover: Option<String>,
    /// Seconds; none where there are no values of its own.
    pub ttl: Option<u32>,
    /// Values.
    pub values: Vec<String>,
    /// Health check.
    pub health_check: Option<String>,
    /// A part that is none of these, by its name.
    pub foreign: Option<String>,
}

/// A page of them, as the service gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSets {
    /// Those on it.
    pub sets: Vec<RecordSet>,
    /// Where the next begins, if there is one.
    pub next: Option<Next>,
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Name.
    pub name: String,
    /// A, AAAA and others.
    pub kind: String,
    /// Which of several.
    pub identifier: Option<String>,
}

/// What the service says is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its word.
    pub code: String,
    /// Its words.
    pub message: String,
}

/// An answer that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// No XML, or too much of it.
    #[error("no document: {0}")]
    Malformed(#[from] roxmltree::Error),
    /// Something else.
    #[error("not what was asked for, but {0}")]
    Foreign(String),
    /// A record set without name or type, or with an impossible TTL; a health check without id or settings.
    #[error("a record set or health check without its name, or with an impossible ttl")]
    Incomplete,
}

impl RecordSet {
    /// A record set that has no role.
    pub fn simple(name: &str, kind: &str, ttl: u32) -> Self {
        Self { name: normal(name), kind: kind.to_owned(), ttl: Some(ttl), ..Self::default() }
    }

    fn parse(node: Node<'_, '_>) -> Result<Self, XmlError> {
        let mut set = Self::default();
        for part in node.children().filter(Node::is_element) {
            let text = part.text().unwrap_or_default().to_owned();
            match part.tag_name().name() {
                "Name" => set.name = normal(&text),
                "Type" => set.kind = text,
                "SetIdentifier" => set.identifier = Some(text),
                "Failover" => set.failover = Some(text),
                "TTL" => set.ttl = Some(text.trim().parse().map_err(|_| XmlError::Incomplete)?),
                "HealthCheckId" => set.health_check = Some(text),
                "ResourceRecords" => {
                    let values = part.descendants().filter(|n| n.tag_name().name() == "Value");
                    set.values = values.filter_map(|n| n.text().map(str::to_owned)).collect();
                }
                other => set.foreign = Some(other.to_owned()),
            }
        }
        if set.name.is_empty() || set.kind.is_empty() { Err(XmlError::Incomplete) } else { Ok(set) }
    }

    /// In the order of the API's schema.
    fn write(&self, out: &mut String) {
        let mut put = |tag: &str, text: &str| {
            // Writing to a String cannot fail.
            let _ = write!(out, "<{tag}>{}</{tag}>", escape(text));
        };
        put("Name", &self.name);
        put("Type", &self.kind);
        for (tag, text) in [("SetIdentifier", &self.identifier), ("Failover", &self.failover)] {
            if let Some(text) = text {
                put(tag, text);
            }
        }
        if let Some(ttl) = self.ttl {
            put("TTL", &ttl.to_string());
        }
        out.push_str("<ResourceRecords>");
        for value in &self.values {
            let _ = write!(out, "<ResourceRecord><Value>{}</Value></ResourceRecord>", escape(value));
        }
        out.push_str("</ResourceRecords>");
        if let Some(check) = &self.health_check {
            let _ = write!(out, "<HealthCheckId>{}</HealthCheckId>", escape(check));
        }
    }
}

impl RecordSets {
    /// Reads a `ListResourceRecordSetsResponse`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(body: &[u8]) -> Result<Self, XmlError> {
        let text = String::from_utf8_lossy(body);
        let document = document(&text)?;
        let root = document.root_element().tag_name().name();
        if root != "ListResourceRecordSetsResponse" {
            return Err(XmlError::Foreign(root.chars().take(40).collect()));
        }
        let sets = document.descendants().filter(|n| n.tag_name().name() == "ResourceRecordSet");
        let sets = sets.map(RecordSet::parse).collect::<Result<_, _>>()?;
        let find = |name: &str| {
            let node = document.root_element().children().find(|n| n.tag_name().name() == name)?;
            node.text().map(|text| text.trim().to_owned())
        };
        let next = find("NextRecordName").zip(find("NextRecordType")).map(|(name, kind)| Next {
            name: normal(&name),
            kind,
            identifier: find("NextRecordIdentifier"),
        });
        let more = find("IsTruncated").is_some_and(|text| text == "true");
        Ok(Self { sets, next: next.filter(|_| more) })
    }

    /// Those of `name` and `kind`: the list goes on with what follows in the zone.
    pub fn of<'a>(&'a self, name: &str, kind: &'a str) -> impl Iterator<Item = &'a RecordSet> {
        let name = normal(name);
        self.sets.iter().filter(move |set| set.name == name && set.kind == kind)
    }
}

/// The service's form of a name: lower case, a dot at its end, an asterisk as itself.
pub fn normal(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase().replace("\\052", "*");
    if name.is_empty() || name.ends_with('.') { name } else { format!("{name}.") }
}

/// The body that asks for `changes`.
pub fn changes(changes: &[Change]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\">\
         <ChangeBatch><Changes>"
    );
    for change in changes {
        let _ = write!(out, "<Change><Action>{}</Action><ResourceRecordSet>", change.action.word());
        change.set.write(&mut out);
        out.push_str("</ResourceRecordSet></Change>");
    }
    out.push_str("</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>");
    out
}

/// A change that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to ask for it by.
    pub id: String,
    /// Whether all of the service's name servers have it.
    pub synced: bool,
}

/// Reads the answer to a change, or to the question how far it is.
pub fn accepted(body: &[u8]) -> Option<Accepted> {
    let text = String::from_utf8_lossy(body);
    let document = document(&text).ok()?;
    let root = document.root_element();
    let find = |name: &str| root.descendants().find(|n| n.tag_name().name() == name)?.text();
    let synced = match find("Status")? {
        "PENDING" => false,
        "INSYNC" => true,
        _ => return None,
    };
    let known = ["ChangeResourceRecordSetsResponse", "GetChangeResponse"].contains(&root.tag_name().name());
    known.then(|| Accepted { id: find("Id").unwrap_or_default().trim().to_owned(), synced })
}

/// The error in a body. There are two forms: `ErrorResponse`, and `InvalidChangeBatch` with messages.
pub fn fault(body: &[u8]) -> Option<Fault> {
    let text = String::from_utf8_lossy(body);
    let document = document(&text).ok()?;
    let find = |name: &str| {
        document.descendants().find(|n| n.tag_name().name() == name).and_then(|n| n.text()).map(str::to_owned)
    };
    let message = find("Message").unwrap_or_default();
    match document.root_element().tag_name().name() {
        "InvalidChangeBatch" => Some(Fault { code: "InvalidChangeBatch".to_owned(), message }),
        _ => find("Code").map(|code| Fault { code: code.chars().take(64).collect(), message }),
    }
}

pub(super) fn document(text: &str) -> Result<Document<'_>, roxmltree::Error> {
    // Without a DTD there are no entities to explode.
    Document::parse_with_options(
        text,
        ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() },
    )
}

pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
        out
    })
}
