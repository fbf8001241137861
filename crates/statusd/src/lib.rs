//! The status page: what is, since when, why, and what is being done about it.
//!
//! For people in the house, on a phone as on a desktop, and for programs under `/api/status`.
//! It reads the snapshots anew for every request and keeps nothing.

mod page;

pub use page::page;

use httpd::{Request, Response, Site};
use overview::Overview;
use sysio::Root;

/// The port browsers expect. The packet filter lets only the LAN reach it.
pub const PORT: u16 = 80;

/// The pages.
pub struct StatusSite {
    root: Root,
}

impl StatusSite {
    /// Shows the system below `root`.
    pub fn new(root: Root) -> Self {
        Self { root }
    }
}

impl Site for StatusSite {
    fn answer(&mut self, request: &Request<'_>) -> Response {
        match request.path {
            "/" => match Overview::gather(&self.root) {
                Ok(overview) => Response::ok("text/html; charset=utf-8", page(&overview).into_bytes()),
                Err(error) => failed(&error),
            },
            "/api/status" => match Overview::gather(&self.root) {
                Ok(overview) => Response::ok("application/json", overview.to_json().to_string().into_bytes()),
                Err(error) => failed(&error),
            },
            _ => Response::not_found(),
        }
    }
}

fn failed(error: &std::io::Error) -> Response {
    let body = format!("the state of this boot cannot be read: {error}\n").into_bytes();
    Response { status: 500, content_type: "text/plain; charset=utf-8", body: body.into() }
}
