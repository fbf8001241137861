//! The numbers in each daemon's own fields. A field that is missing or of another type is no number.

use serde_json::Value;
use snapshot::Document;

use super::Families;

/// The states a line can be in (`uplink`'s table in ARCHITECTURE.md).
const LINK_STATES: [&str; 5] = ["unknown", "up", "lossy", "partial", "down"];

pub(super) fn daemon(all: &mut Families, document: &Document) {
    let fields = Value::Object(document.fields.clone());
    match document.daemon.as_str() {
        "modem-dialer" => modem(all, &document.state, &fields),
        "uplink" => uplink(all, &fields),
        "netguard" => {
            let help = "Rules and sysctls that were found changed and put right.";
            all.counter("failberry_firewall_repairs_total", help, &[], number(&fields, "/repairs"));
        }
        "nic-health" => {
            let help = "Neighbour entries that were wrong and mended.";
            all.counter(
                "failberry_neighbour_repairs_total",
                help,
                &[],
                number(&fields, "/neighbours/repaired"),
            );
        }
        "hub-reset" => {
            let help = "Reboots of the last resort within a day.";
            all.gauge("failberry_reboots_last_day", help, &[], number(&fields, "/rungs/reboot/today"));
        }
        "pinghttpserver" | "statusd" => server(all, &document.daemon, &fields),
        "notify" => notify(all, &fields),
        "prober" => prober(all, &fields),
        "dyndns" => dyndns(all, &fields),
        _ => {}
    }
}

fn modem(all: &mut Families, state: &str, fields: &Value) {
    let connected = f64::from(u8::from(state == "connected"));
    all.gauge("failberry_modem_connected", "Whether the data call is up.", &[], connected);
    let help = "Received signal strength in dBm.";
    all.gauge("failberry_modem_signal_dbm", help, &[], number(fields, "/network/signal_dbm"));
    let help = "Bytes received in this call.";
    all.counter("failberry_modem_receive_bytes_total", help, &[], number(fields, "/link/rx_bytes"));
    let help = "Bytes sent in this call.";
    all.counter("failberry_modem_transmit_bytes_total", help, &[], number(fields, "/link/tx_bytes"));
}

fn uplink(all: &mut Families, fields: &Value) {
    let active = text(fields, "/active");
    for link in list(fields, "/links") {
        let Some(name) = text(link, "/name") else { continue };
        one_link(all, name, active == Some(name), link);
        for target in list(link, "/targets") {
            one_target(all, name, target);
        }
    }
    let help = "Times the active line has changed since the daemon started.";
    all.counter("failberry_switches_total", help, &[], number(fields, "/switches/count"));
    let Some(line) = text(fields, "/usage/link") else { return };
    let labels = [("link", line)];
    let help = "Bytes over the metered line in this billing period, both directions.";
    all.counter("failberry_usage_bytes_total", help, &labels, number(fields, "/usage/used_bytes"));
    let help = "Bytes over the metered line since midnight.";
    all.gauge("failberry_usage_today_bytes", help, &labels, number(fields, "/usage/today_bytes"));
    let help = "Bytes the plan has in a billing period.";
    all.gauge("failberry_usage_quota_bytes", help, &labels, number(fields, "/usage/quota_bytes"));
    let cut = text(fields, "/usage/guard").map(|guard| f64::from(u8::from(guard == "cut")));
    all.gauge(
        "failberry_usage_cut",
        "Whether the metered line is cut because its quota is spent.",
        &labels,
        cut,
    );
}

fn one_link(all: &mut Families, name: &str, active: bool, link: &Value) {
    let labels = [("link", name)];
    let flag = |path: &str| link.pointer(path).and_then(Value::as_bool).map(|yes| f64::from(u8::from(yes)));
    let state = text(link, "/state");
    let up = state.map(|state| f64::from(u8::from(state == "up")));
    all.gauge("failberry_link_up", "Whether the line is in order.", &labels, up);
    for word in LINK_STATES {
        let is = state.map(|state| f64::from(u8::from(state == word)));
        let help = "How the line is: 1 at the word that holds.";
        all.gauge("failberry_link_state", help, &[("link", name), ("state", word)], is);
    }
    let active = f64::from(u8::from(active));
    all.gauge("failberry_link_active", "Whether the line is the active one.", &labels, active);
    all.gauge("failberry_link_usable", "Whether traffic could take the line.", &labels, flag("/usable"));
    all.gauge("failberry_link_metered", "Whether the line is paid by volume.", &labels, flag("/metered"));
    let latency = number(link, "/latency_ms").map(seconds);
    all.gauge("failberry_link_latency_seconds", "Time to the line's targets and back.", &labels, latency);
    let loss = number(link, "/loss_percent").map(ratio);
    all.gauge("failberry_link_loss_ratio", "Share of probes that were lost, 0 to 1.", &labels, loss);
    let help = "Bytes spent on probes.";
    all.counter("failberry_link_probe_bytes_total", help, &labels, number(link, "/probe_bytes"));
}

fn one_target(all: &mut Families, link: &str, target: &Value) {
    let (Some(name), Some(kind)) = (text(target, "/name"), text(target, "/kind")) else { return };
    let family = text(target, "/family").unwrap_or_default();
    let labels = [("link", link), ("target", name), ("kind", kind), ("family", family)];
    let state = text(target, "/state").filter(|state| *state != "unknown");
    let up = state.map(|state| f64::from(u8::from(state == "up")));
    all.gauge("failberry_target_up", "Whether the target answers over the line.", &labels, up);
    let latency = number(target, "/latency_ms").map(seconds);
    all.gauge("failberry_target_latency_seconds", "Time to the target and back.", &labels, latency);
    let loss = number(target, "/loss_percent").map(ratio);
    all.gauge("failberry_target_loss_ratio", "Share of probes that were lost, 0 to 1.", &labels, loss);
}

fn server(all: &mut Families, daemon: &str, fields: &Value) {
    let labels = [("daemon", daemon)];
    all.counter("failberry_http_requests_total", "Requests answered.", &labels, number(fields, "/requests"));
    all.gauge("failberry_http_connections", "Connections open now.", &labels, number(fields, "/connections"));
    let help = "Requests whose times the latencies are of.";
    all.gauge("failberry_http_latency_requests", help, &labels, number(fields, "/latency/requests"));
    for (quantile, path) in
        [("0.5", "/latency/p50_ms"), ("0.99", "/latency/p99_ms"), ("1", "/latency/worst_ms")]
    {
        let labels = [("daemon", daemon), ("quantile", quantile)];
        let help = "Time to answer a request, by the share of requests that took no longer.";
        all.gauge("failberry_http_latency_seconds", help, &labels, number(fields, path).map(seconds));
    }
}

fn notify(all: &mut Families, fields: &Value) {
    let help = "Messages that wait to be delivered.";
    all.gauge("failberry_notify_queue_messages", help, &[], number(fields, "/queued"));
    for channel in list(fields, "/channels") {
        let Some(name) = text(channel, "/name") else { continue };
        let labels = [("channel", name)];
        let help = "Messages the service has accepted since the daemon started.";
        all.counter("failberry_notify_delivered_total", help, &labels, number(channel, "/delivered"));
        let help = "Tries that failed in a row.";
        all.gauge("failberry_notify_failures", help, &labels, number(channel, "/failures"));
    }
}

/// Phases of a request, as `prober` names their times.
const PHASES: [(&str, &str); 5] = [
    ("dns", "/dns_ms"),
    ("connect", "/connect_ms"),
    ("tls", "/tls_ms"),
    ("first-byte", "/first_byte_ms"),
    ("total", "/total_ms"),
];

fn prober(all: &mut Families, fields: &Value) {
    for target in list(fields, "/targets") {
        let (Some(url), Some(line)) = (text(target, "/url"), text(target, "/line")) else { continue };
        let labels = [("url", url), ("line", line)];
        let state = text(target, "/state").filter(|state| *state != "unknown");
        let up = state.map(|state| f64::from(u8::from(state == "ok")));
        all.gauge("failberry_page_up", "Whether the page answers as it should.", &labels, up);
        let help = "HTTP status of the last answer; none where there was no answer.";
        all.gauge("failberry_page_status", help, &labels, number(target, "/status"));
        let help = "Times the page was asked for since the daemon started.";
        all.counter("failberry_page_requests_total", help, &labels, number(target, "/sent"));
        let help = "Times the page did not answer as it should.";
        all.counter("failberry_page_failures_total", help, &labels, number(target, "/failed"));
        let help = "When the certificate of the page expires, in seconds since 1970.";
        let until = number(target, "/certificate_until");
        all.gauge("failberry_page_certificate_expiry_timestamp_seconds", help, &labels, until);
        for (phase, path) in PHASES {
            let labels = [("url", url), ("line", line), ("phase", phase)];
            let help = "How long a phase of the last request took; total is all of it.";
            all.gauge("failberry_page_seconds", help, &labels, number(target, path).map(seconds));
        }
    }
}

fn dyndns(all: &mut Families, fields: &Value) {
    for record in list(fields, "/records") {
        let label = |path: &str| text(record, path).unwrap_or_default();
        let labels = [("name", label("/name")), ("type", label("/type")), ("account", label("/account"))];
        let current = text(record, "/state").map(|state| f64::from(u8::from(state == "current")));
        let help = "Whether the provider has been told the line's address.";
        all.gauge("failberry_dns_record_current", help, &labels, current);
        let help = "When the provider was told last, in seconds since 1970.";
        all.gauge("failberry_dns_record_told_timestamp_seconds", help, &labels, number(record, "/told_unix"));
    }
}

fn seconds(ms: f64) -> f64 {
    ms / 1000.0
}

fn ratio(percent: f64) -> f64 {
    percent / 100.0
}

fn number(value: &Value, path: &str) -> Option<f64> {
    value.pointer(path)?.as_f64()
}

fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path)?.as_str()
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
