//! The status page: what is, since when, why, and what is being done about it.
//!
//! For people in the house, on a phone as on a desktop; for programs under `/api/status` and
//! `/api/history`; for Prometheus under `/metrics`. It reads the snapshots anew for every request.

mod chart;
mod conditions;
mod history;
mod page;
mod pages;

pub use page::page;

use std::time::SystemTime;

use history::History;
use httpd::{Request, Response, Site};
use overview::{Overview, metrics};
use sysio::Root;

/// The port browsers expect. The packet filter lets only the LAN reach it.
pub const PORT: u16 = 80;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// The pages.
pub struct StatusSite {
    root: Root,
    metrics: bool,
    /// The record of the last day and when its file was written: reading it is the one thing here
    /// that takes long, and it changes once a minute.
    history: Option<(SystemTime, Result<Option<History>, String>)>,
}

impl StatusSite {
    /// Shows the system below `root`, with numbers for Prometheus if `metrics`.
    pub fn new(root: Root, metrics: bool) -> Self {
        Self { root, metrics, history: None }
    }

    fn history(&mut self) -> &Result<Option<History>, String> {
        let path = self.root.path(history::FILE);
        let written = path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        if self.history.as_ref().is_none_or(|(at, _)| *at != written) {
            self.history = Some((written, history::read(&path)));
        }
        self.history.as_ref().map_or(&Ok(None), |(_, history)| history)
    }

    fn home(&mut self) -> Response {
        let (overview, boot_id) = match (Overview::gather(&self.root), snapshot::boot_id(&self.root)) {
            (Ok(overview), Ok(boot_id)) => (overview, boot_id),
            (Err(error), _) | (_, Err(error)) => return failed(&error),
        };
        let now_ms = i64::try_from(overview.now.as_millis()).unwrap_or(i64::MAX);
        let charts = chart::section(self.history(), &boot_id, now_ms);
        Response::ok(HTML, page(&overview, &charts).into_bytes())
    }

    fn record(&mut self) -> Response {
        match self.history() {
            Ok(Some(history)) => Response::ok(JSON, history::to_json(history).to_string().into_bytes()),
            Ok(None) => Response::not_found(),
            Err(error) => failed(&std::io::Error::other(error.clone())),
        }
    }

    fn of_overview(&self, show: impl FnOnce(&Overview) -> Response) -> Response {
        Overview::gather(&self.root).map_or_else(|error| failed(&error), |overview| show(&overview))
    }
}

impl Site for StatusSite {
    fn answer(&mut self, request: &Request<'_>) -> Response {
        match request.path {
            "/" => self.home(),
            "/api/status" => {
                self.of_overview(|overview| Response::ok(JSON, overview.to_json().to_string().into_bytes()))
            }
            "/api/history" => self.record(),
            "/metrics" if self.metrics => self.of_overview(|overview| {
                let families = metrics::families(overview, env!("CARGO_PKG_VERSION"));
                let body = metrics::prometheus(&families).into_bytes();
                Response::ok("text/plain; version=0.0.4; charset=utf-8", body)
            }),
            "/conditions" | "/conditions/" => Response::ok(HTML, conditions::index().into_bytes()),
            path => match path.strip_prefix("/conditions/").and_then(conditions::page) {
                Some(page) => Response::ok(HTML, page.into_bytes()),
                None => Response::not_found(),
            },
        }
    }
}

fn failed(error: &std::io::Error) -> Response {
    let body = format!("this cannot be read: {error}\n").into_bytes();
    Response { status: 500, content_type: "text/plain; charset=utf-8", body: body.into() }
}
