//! The owner's configuration as far as messages are concerned, and who may be told.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use config::{Config, MailSecurity, MinSeverity, Secret, Text, WebUrl};
use serde::{Deserialize, Serialize};
use snapshot::Severity;

use crate::alerts::Policy;
use crate::notice::Channel;

/// An error is told after this part of a warning's time.
const ERROR_SOONER: u32 = 6;

/// What `notify` needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is told, and when.
    pub policy: Policy,
    /// What messages call this appliance, if not by its host name.
    pub name: Option<String>,
    /// Where condition pages are.
    pub pages: Option<String>,
    /// Who is told.
    pub targets: Vec<Target>,
    /// Where numbers are sent.
    pub graphite: Option<Graphite>,
    /// What of this is half said, in words; the rest is in force.
    pub gaps: Vec<String>,
}

/// A Graphite server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphite {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What names begin with.
    pub prefix: String,
    /// How often.
    pub interval: Duration,
}

/// One way to tell a person, with all that it takes; secrets included, so it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Target {
    /// A JSON document by POST.
    Webhook {
        /// To here.
        url: String,
        /// Bearer token.
        token: Option<String>,
        /// Key of the signature.
        secret: Option<String>,
    },
    /// ntfy.
    Ntfy {
        /// The topic.
        url: String,
        /// Access token.
        token: Option<String>,
    },
    /// An incoming webhook as Slack has it.
    Slack {
        /// Its address, which is the secret.
        url: String,
    },
    /// Mail.
    Mail {
        /// How the server is spoken to.
        security: Security,
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// Who logs in.
        user: Option<String>,
        /// With what.
        password: Option<String>,
        /// The sender.
        from: String,
        /// Who gets it.
        to: Vec<String>,
    },
}

/// How a mail server is spoken to; see `config::MailSecurity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// STARTTLS or nothing.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// In the clear.
    Plain,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.channel().as_str())
    }
}

impl Target {
    /// Which way it is.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Webhook { .. } => Channel::Webhook,
            Self::Ntfy { .. } => Channel::Ntfy,
            Self::Slack { .. } => Channel::Slack,
            Self::Mail { .. } => Channel::Mail,
        }
    }

    /// Whether a wrong clock would make it fail: certificates have dates.
    pub fn needs_clock(&self) -> bool {
        match self {
            Self::Webhook { url, .. } | Self::Ntfy { url, .. } | Self::Slack { url } => {
                url.starts_with("https:")
            }
            Self::Mail { security, .. } => *security != Security::Plain,
        }
    }

    /// What must never be seen in a log, a snapshot or an answer.
    pub fn secrets(&self) -> Vec<&str> {
        let all: [Option<&str>; 3] = match self {
            Self::Webhook { url, token, secret } => [Some(url), token.as_deref(), secret.as_deref()],
            Self::Ntfy { url, token } => [Some(url), token.as_deref(), None],
            Self::Slack { url } => [Some(url), None, None],
            Self::Mail { password, .. } => [password.as_deref(), None, None],
        };
        all.into_iter().flatten().collect()
    }

    /// `text` without secrets, nor the path of a secret address, which is what makes it one.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets() {
            text = text.replace(secret, "***");
            let path = secret.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            if let Some((_, path)) = path.filter(|(_, path)| path.len() > 3) {
                text = text.replace(path, "***");
            }
        }
        text
    }
}

/// The settings of a configuration slice; nobody is told anything when there is none.
pub fn load_settings(slice: &Path) -> Settings {
    let config = config::load(slice).unwrap_or_else(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        log::warn!("{error}{cause}; going on with the settings of a fresh appliance");
        Config::default()
    });
    settings(&config)
}

/// The settings of a whole configuration.
pub fn settings(config: &Config) -> Settings {
    let notify = &config.notify;
    let warning_settle = notify.settle.duration();
    let mut gaps = Vec::new();
    let targets = targets(notify, &mut gaps);
    let graphite = config.metrics.graphite.as_ref().map(|place| Graphite {
        host: place.host.clone(),
        port: place.port,
        prefix: config.metrics.prefix.as_str().to_owned(),
        interval: config.metrics.interval.duration(),
    });
    Settings {
        policy: Policy {
            least: match notify.min_severity {
                MinSeverity::Info => Severity::Info,
                MinSeverity::Warning => Severity::Warning,
                MinSeverity::Error => Severity::Error,
            },
            warning_settle,
            error_settle: warning_settle / ERROR_SOONER,
            recovered: notify.recovered.duration(),
        },
        name: notify.name.as_ref().map(|name| name.as_str().to_owned()),
        pages: notify.pages.as_ref().map(|pages| pages.as_str().trim_end_matches('/').to_owned()),
        targets,
        graphite,
        gaps,
    }
}

fn targets(notify: &config::Notify, gaps: &mut Vec<String>) -> Vec<Target> {
    let url = |url: &Secret<WebUrl>| url.expose().as_str().to_owned();
    let text = |text: &Option<Secret<Text>>| text.as_ref().map(|text| text.expose().as_str().to_owned());
    let mut targets = Vec::new();
    if let Some(place) = &notify.webhook {
        let (token, secret) = (text(&notify.webhook_token), text(&notify.webhook_secret));
        targets.push(Target::Webhook { url: url(place), token, secret });
    }
    if let Some(place) = &notify.ntfy {
        targets.push(Target::Ntfy { url: url(place), token: text(&notify.ntfy_token) });
    }
    targets.extend(notify.slack.as_ref().map(|place| Target::Slack { url: url(place) }));
    match (&notify.smtp, notify.mail_to.first()) {
        (Some(_), None) => gaps.push("smtp is set but mail-to is not: no mail is sent".to_owned()),
        (None, Some(_)) => gaps.push("mail-to is set but smtp is not: no mail is sent".to_owned()),
        (None, None) => {}
        (Some(server), Some(first)) => {
            if server.user.is_some() != notify.smtp_password.is_some() {
                let missing = "a login for the mail server needs both the user in smtp and smtp-password";
                gaps.push(missing.to_owned());
            }
            targets.push(Target::Mail {
                security: match server.security {
                    MailSecurity::StartTls => Security::StartTls,
                    MailSecurity::Tls => Security::Tls,
                    MailSecurity::Plain => Security::Plain,
                },
                host: server.host.clone(),
                port: server.port,
                user: server.user.clone(),
                password: text(&notify.smtp_password),
                from: notify.mail_from.as_ref().unwrap_or(first).as_str().to_owned(),
                to: notify.mail_to.iter().map(|to| to.as_str().to_owned()).collect(),
            });
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Settings {
        settings(&config::parse(text.as_bytes()).unwrap())
    }

    const FULL: &str = r#"
[notify]
webhook = "https://example.org/hook/a1b2c3"
webhook-token = "tokentoken"
webhook-secret = "signsign"
ntfy = "https://ntfy.example/sekrit-topic"
ntfy-token = "tk_abc"
slack = "https://hooks.example/services/T0/B0/xyz"
smtp = "smtp://me@mail.example"
smtp-password = "geheim"
mail-to = ["me@example.org", "you@example.org"]
settle-seconds = 120
"#;

    #[test]
    fn every_way_that_is_configured_is_used() {
        let settings = of(FULL);
        let channels: Vec<_> = settings.targets.iter().map(Target::channel).collect();
        assert_eq!(channels, [Channel::Webhook, Channel::Ntfy, Channel::Slack, Channel::Mail]);
        assert_eq!(settings.policy.error_settle, Duration::from_secs(20));
        assert!(settings.gaps.is_empty());
        let Target::Mail { from, to, port, .. } = &settings.targets[3] else { panic!() };
        assert_eq!((from.as_str(), to.len(), *port), ("me@example.org", 2, 587));
    }

    #[test]
    fn what_is_half_said_is_named() {
        assert_eq!(of("[notify]\nsmtp = \"smtp://h\"\n").gaps.len(), 1);
        assert_eq!(of("[notify]\nmail-to = [\"a@b\"]\n").gaps.len(), 1);
        assert_eq!(of("[notify]\nsmtp = \"smtp://u@h\"\nmail-to = [\"a@b\"]\n").gaps.len(), 1);
        assert!(of("").gaps.is_empty() && of("").targets.is_empty());
    }

    #[test]
    fn no_secret_is_printed_and_errors_are_scrubbed() {
        let settings = of(FULL);
        let shown = format!("{settings:?}");
        for target in &settings.targets {
            for secret in target.secrets() {
                assert!(!shown.contains(secret), "{secret} in {shown}");
                let said = target.scrub(&format!("cannot reach {secret}: refused"));
                assert!(!said.contains(secret), "{said}");
            }
        }
        let slack = &settings.targets[2];
        assert_eq!(slack.scrub("POST /services/T0/B0/xyz failed"), "POST /*** failed");
    }
}
