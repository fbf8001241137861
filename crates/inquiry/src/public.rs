//! Services that their operators offer to everybody, as resolvers or for telling whether somebody
//! stands between.

/// Public resolvers with DNS over HTTPS at the same addresses, so that echo, DNS, TCP and TLS need no
/// name. Operator, name in its certificate, IPv4, IPv6.
/// Cloudflare: developers.cloudflare.com/1.1.1.1/ip-addresses. Google:
/// developers.google.com/speed/public-dns/docs/using. Quad9: quad9.net/service/service-addresses-and-features.
pub const RESOLVERS: [(&str, &str, [u8; 4], &str); 3] = [
    ("cloudflare", "one.one.one.one", [1, 1, 1, 1], "2606:4700:4700::1111"),
    ("google", "dns.google", [8, 8, 8, 8], "2001:4860:4860::8888"),
    ("quad9", "dns.quad9.net", [9, 9, 9, 9], "2620:fe::fe"),
];

/// A page of an operator for telling whether somebody stands between.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose it is.
    pub operator: &'static str,
    /// Its names for IPv4 and for IPv6.
    pub hosts: [&'static str; 2],
    /// Where.
    pub path: &'static str,
    /// Its status.
    pub status: u16,
    /// How it begins.
    pub body: &'static str,
}

/// What systems that millions use ask for; their operators keep them answering just this.
pub const PAGES: [Page; 4] = [
    // Android: `default_captive_portal_http_urls` in packages/modules/NetworkStack, res/values/config.xml.
    Page {
        operator: "google",
        hosts: ["connectivitycheck.gstatic.com"; 2],
        path: "/generate_204",
        status: 204,
        body: "",
    },
    // Firefox: `network.connectivity-service.IPv4.url` and `.IPv6.url` in modules/libpref/init/all.js.
    Page {
        operator: "mozilla",
        hosts: ["detectportal.firefox.com"; 2],
        path: "/success.txt",
        status: 200,
        body: "success",
    },
    // Apple's Captive Network Assistant: a page whose title is "Success".
    Page {
        operator: "apple",
        hosts: ["captive.apple.com"; 2],
        path: "/hotspot-detect.html",
        status: 200,
        body: "<HTML><HEAD><TITLE>Success</TITLE>",
    },
    // Windows: "NCSI change notification", Microsoft Networking Blog, 2023 (ba-p/3866600).
    Page {
        operator: "microsoft",
        hosts: ["www.msftconnecttest.com", "ipv6.msftconnecttest.com"],
        path: "/connecttest.txt",
        status: 200,
        body: "Microsoft Connect Test",
    },
];
