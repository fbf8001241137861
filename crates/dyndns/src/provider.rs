//! The protocols, each a conversation: asked with an order, given answers, it says what to send next.
//!
//! What a person configured is an [`Account`]. It travels to the process that sends, and nowhere else.

pub mod cloudflare;
pub mod dyndns2;
pub mod lambda;
pub mod rfc2136;
pub mod route53;

use serde::{Deserialize, Serialize};

use crate::talk::{Answer, Order, Step};

/// Whom to tell, with all that it takes; secrets included, so it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub enum Account {
    /// awslabs/route53-dynamic-dns-with-lambda.
    Lambda(lambda::Account),
    /// What dyn.com made and most others understand.
    Dyndns2(dyndns2::Account),
    /// Cloudflare's API.
    Cloudflare(cloudflare::Account),
    /// Route 53's API.
    Route53(route53::Account),
    /// A name server that takes updates.
    Rfc2136(rfc2136::Account),
}

impl Account {
    /// The word for it in configuration and reports.
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Lambda(account) => account.generation.as_str(),
            Self::Dyndns2(_) => "dyndns2",
            Self::Cloudflare(_) => "cloudflare",
            Self::Route53(_) => "route53",
            Self::Rfc2136(_) => "rfc2136",
        }
    }

    /// What must never be seen in a log, a snapshot or a message.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Lambda(account) => {
                std::iter::once(account.secret.as_str()).chain(account.api_key.as_deref()).collect()
            }
            Self::Dyndns2(account) => vec![&account.password],
            Self::Cloudflare(account) => vec![&account.token],
            Self::Route53(account) => vec![&account.secret],
            Self::Rfc2136(account) => vec![&account.secret],
        }
    }

    /// `text` without them. A service may say what it was sent.
    pub fn scrub(&self, text: &str) -> String {
        let whole = self.secrets().into_iter().filter(|secret| !secret.is_empty());
        whole.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// Whether the provider takes the address the request comes from, so that it must leave by the line
    /// the name is to lead to.
    pub fn sees_the_sender(&self) -> bool {
        matches!(self, Self::Lambda(_))
    }

    /// Whether it depends on the date: certificates and signatures have one.
    pub fn needs_clock(&self) -> bool {
        match self {
            Self::Lambda(account) => account.url.starts_with("https:"),
            Self::Dyndns2(account) => account.url.starts_with("https:"),
            Self::Cloudflare(_) | Self::Route53(_) | Self::Rfc2136(_) => true,
        }
    }

    /// Begins a conversation at the time `unix`; `id` is a random number.
    pub fn talk(&self, order: &Order, unix: u64, id: u16) -> Talk {
        match self {
            Self::Lambda(account) => Talk::Lambda(lambda::Talk::new(account, order)),
            Self::Dyndns2(account) => Talk::Dyndns2(dyndns2::Talk::new(account, order)),
            Self::Cloudflare(account) => Talk::Cloudflare(cloudflare::Talk::new(account, order)),
            Self::Route53(account) => Talk::Route53(route53::Talk::new(account, order, unix)),
            Self::Rfc2136(account) => Talk::Rfc2136(Box::new(rfc2136::Talk::new(account, order, unix, id))),
        }
    }
}

/// The protocols alone, so that no debug output shows more.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.protocol())
    }
}

/// No conversation takes more requests than this; who drives one may rely on it.
pub const MOST_REQUESTS: usize = 4;

/// A conversation.
pub enum Talk {
    /// See [`lambda`].
    Lambda(lambda::Talk),
    /// See [`dyndns2`].
    Dyndns2(dyndns2::Talk),
    /// See [`cloudflare`].
    Cloudflare(cloudflare::Talk),
    /// See [`route53`].
    Route53(route53::Talk),
    /// See [`rfc2136`].
    Rfc2136(Box<rfc2136::Talk>),
}

impl Talk {
    /// The first thing to do.
    pub fn begin(&self) -> Step {
        match self {
            Self::Lambda(talk) => talk.begin(),
            Self::Dyndns2(talk) => talk.begin(),
            Self::Cloudflare(talk) => talk.begin(),
            Self::Route53(talk) => talk.begin(),
            Self::Rfc2136(talk) => talk.begin(),
        }
    }

    /// What to do after `answer`.
    pub fn hear(&mut self, answer: &Answer) -> Step {
        match self {
            Self::Lambda(talk) => talk.hear(answer),
            Self::Dyndns2(talk) => Step::Done(talk.judge(answer)),
            Self::Cloudflare(talk) => talk.hear(answer),
            Self::Route53(talk) => talk.hear(answer),
            Self::Rfc2136(talk) => Step::Done(talk.judge(answer)),
        }
    }
}

#[cfg(test)]
mod tests;
