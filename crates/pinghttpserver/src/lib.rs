//! The health endpoint: whoever gets a 200 here has reached the house.
//!
//! Route 53 and its kin have no ping, hence a web server. Its port is open to the internet, so it does
//! nothing but answer: no file, no configuration, no input beyond the request line.

use httpd::{Request, Response};

/// The port of the field story; health checks out there are configured with it.
pub const PORT: u16 = 9000;

/// What a healthy appliance says.
pub fn answer(request: &Request<'_>) -> Response {
    match request.path {
        "/" => Response::ok("text/plain", &b"ok\n"[..]),
        _ => Response::not_found(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use httpd::Method;

    fn status(path: &str) -> u16 {
        answer(&Request { method: Method::Get, path, keep_alive: true, body: false }).status
    }

    #[test]
    fn only_the_root_is_there() {
        assert_eq!((status("/"), status("/index.html"), status("//")), (200, 404, 404));
    }
}
