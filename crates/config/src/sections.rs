//! Every section of `failberry.toml`. To add a key, add it here and run
//! `cargo run -p config --example print > docs/failberry.example.toml`.

use crate::schema::{section, sections};
use crate::values::{
    Apn, Auth, BillingDay, Bytes, Cidr, DialMode, DialNumber, DnsAccount, DynamicName, FailbackHold, Group,
    HostPort, Hostname, IdleHangup, Imei, InterfaceName, MailAddress, MailServer, MetricPrefix, MinSeverity,
    Mode, OpenPort, PageTarget, PdpType, Peer, Pin, ProbeTarget, Secret, Text, UsbPath, Wait, WebUrl, Who,
};

section! {
    /// The appliance itself.
    System "system" for ["statusd"] {
        /// The name it gives to the house's router and shows on its status page.
        hostname "hostname": Hostname = Hostname::default(), like "\"failberry\"";
    }
}

section! {
    /// The cellular stick and the phone provider.
    Modem "modem" for ["modem-dialer"] {
        /// Access point name, from the phone provider. Not set: looked up by the SIM card's network, or
        /// else what the stick has stored.
        apn "apn": Option<Apn> = None, like "\"internet\"";
        /// User name, only if the provider asks for one.
        user "user": Option<Text> = None, like "\"web\"";
        /// Password, only if the provider asks for one.
        password "password": Option<Secret<Text>> = None, like "\"web\"";
        /// Which login the provider may ask for: "any", "pap" or "chap".
        auth "auth": Auth = Auth::default(), like "\"any\"";
        /// Addresses to ask for: "ipv4", "ipv6" or "ipv4v6". Older sticks and many providers refuse
        /// anything but "ipv4".
        pdp_type "pdp-type": PdpType = PdpType::default(), like "\"ipv4\"";
        /// PIN of the SIM, 4 to 8 digits in quotes. Never tried twice, never with fewer than 3 tries left.
        pin "pin": Option<Secret<Pin>> = None, like "\"0000\"";
        /// Use foreign networks too. This can be expensive.
        roaming "roaming": bool = false, like "false";
        /// What is dialled for a data call. Leave it unless the provider says otherwise.
        dial_number "dial-number": DialNumber = DialNumber::default(), like "\"*99#\"";
        /// "always", or "on-demand": stay down until the wired line fails or somebody asks for a call,
        /// for plans that are paid by the day.
        dial "dial": DialMode = DialMode::default(), like "\"always\"";
        /// On demand: hang up when the wired line has been back for so long, 10 to 86400.
        idle_hangup "idle-hangup-seconds": IdleHangup = IdleHangup::default(), like "120";
        /// With several sticks: use only the one plugged in here. `failberry status` shows the paths.
        usb_path "usb-path": Option<UsbPath> = None, like "\"1-1.2\"";
        /// With several sticks: use only the one with this IMEI.
        imei "imei": Option<Imei> = None, like "\"490154203237518\"";
    }
}

section! {
    /// The place of the appliance in the house's network.
    Network "network" for ["netguard", "uplink"] {
        /// "backup": the house's router decides and sends traffic here when the wired line dies.
        /// "gateway": the appliance is the gateway of the LAN and chooses the line itself.
        mode "mode": Mode = Mode::Backup, like "\"backup\"";
        /// The interface towards the house.
        lan_interface "lan-interface": InterfaceName = InterfaceName::default(), like "\"eth0\"";
        /// Networks that may reach SSH and the status page besides the LAN itself.
        management_networks "management-networks": Vec<Cidr> = Vec::new(), like "[\"192.168.178.0/24\"]";
        /// Ports of this appliance that are open to everyone, besides 9000/tcp (the health endpoint).
        open_ports "open-ports": Vec<OpenPort> = Vec::new(), like "[\"8443/tcp\"]";
    }
}

section! {
    /// How the lines to the internet are watched, and chosen.
    Uplink "uplink" for ["uplink"] {
        /// Whom to ask how a line is; this replaces the built-in list, so name several operators and
        /// kinds: `icmp 1.1.1.1`, `dns 9.9.9.9`, `tcp host:port`, `tls host`,
        /// `http http://host/path status=204 body=text`. Each may have operator= (targets of one count
        /// as one) and region=.
        targets "targets": Vec<ProbeTarget> = Vec::new(), like "[\"icmp 1.1.1.1 operator=cloudflare\", \"dns 9.9.9.9 operator=quad9\"]";
        /// How long the wired line must have been good before it is used again, 5 to 3600; longer by
        /// itself when it comes and goes.
        failback_hold "failback-hold-seconds": FailbackHold = FailbackHold::default(), like "30";
    }
}

section! {
    /// What the cellular line may cost. What the appliance itself sends (its probes, SSH, dynamic DNS)
    /// is never cut off.
    Metered "metered" for ["netguard", "uplink"] {
        /// The cellular line costs by the byte: its data is counted, and the keys below hold.
        metered "metered": bool = true, like "true";
        /// Devices that may use the cellular line; empty: everybody. By hardware address (covers IPv6,
        /// too; only while the appliance is their gateway, see mode), by address, by network, or by the
        /// name of a group. In mode "backup" name the router by its address, too: it asks for the names
        /// that devices want, and who is allowed has none without it.
        allow "allow": Vec<Who> = Vec::new(), like "[\"aa:bb:cc:dd:ee:ff\", \"192.168.178.20\"]";
        /// Devices that may use it even when the quota is spent (the router, too: see allow).
        essential "essential": Vec<Who> = Vec::new(), like "[\"aa:bb:cc:dd:ee:ff\"]";
        /// Devices under a name, which the lists above may use.
        groups "groups": Vec<Group> = Vec::new(), like "[\"office: aa:bb:cc:dd:ee:ff 192.168.178.20\"]";
        /// Data in a billing period. GB and MB are decimal, as providers bill them; GiB and MiB are
        /// possible. Not set: counted, never cut off. Providers round each call up, so set it lower
        /// than what is in the contract.
        quota "quota": Option<Bytes> = None, like "\"5 GB\"";
        /// Day of the month on which the provider begins to count anew (in UTC), 1 to 31; in a shorter
        /// month its last day.
        billing_day "billing-day": BillingDay = BillingDay::default(), like "1";
    }
}

section! {
    /// Network cards and the devices next to them.
    Nics "nics" for ["nic-health"] {
        /// Devices on the same network, besides the gateways, whose neighbour entries are checked
        /// regularly.
        peers "peers": Vec<Peer> = Vec::new(), like "[\"192.168.178.2\"]";
        /// Mend what is proven wrong: ask the kernel to look again for a neighbour, and bring back a
        /// card that receives nothing. False: only report it.
        repair "repair": bool = true, like "true";
    }
}

section! {
    /// Who is told when something is wrong, and when it is well again. Several ways may be given.
    Notify "notify" for ["notify"] {
        /// What the messages call this appliance. Not set: its host name.
        name "name": Option<Text> = None, like "\"holiday home\"";
        /// Tell conditions of this severity and worse: "info", "warning" or "error".
        min_severity "min-severity": MinSeverity = MinSeverity::default(), like "\"warning\"";
        /// A warning must last so long before it is told, 0 to 3600; an error a sixth of it.
        settle "settle-seconds": Wait<0, 3600, 60> = Wait::default(), like "60";
        /// What was told must be gone so long before that is told, 0 to 3600.
        recovered "recovered-seconds": Wait<0, 3600, 60> = Wait::default(), like "60";
        /// Where condition pages are for links in messages. Not set: this appliance's status page.
        pages "pages": Option<WebUrl> = None, like "\"http://failberry.lan/conditions\"";
        /// A JSON document is sent here by POST; docs/notifications.md describes it.
        webhook "webhook": Option<Secret<WebUrl>> = None, like "\"https://example.org/hook\"";
        /// Sent to the webhook as bearer token.
        webhook_token "webhook-token": Option<Secret<Text>> = None, like "\"token\"";
        /// Key that signs what the webhook gets (HMAC-SHA256, header X-Failberry-Signature).
        webhook_secret "webhook-secret": Option<Secret<Text>> = None, like "\"secret\"";
        /// Address of an ntfy topic. Who knows a topic reads it: choose a name nobody guesses.
        ntfy "ntfy": Option<Secret<WebUrl>> = None, like "\"https://ntfy.sh/topic\"";
        /// Access token of ntfy, if the topic needs one.
        ntfy_token "ntfy-token": Option<Secret<Text>> = None, like "\"tk_x\"";
        /// Incoming webhook of Slack, Mattermost, Rocket.Chat and the like.
        slack "slack": Option<Secret<WebUrl>> = None, like "\"https://hooks.slack.com/services/T0/B0/x\"";
        /// Mail server. Before the :// stands smtp for STARTTLS, smtps for TLS from the start, or
        /// smtp-plain for a server without login and encryption.
        smtp "smtp": Option<MailServer> = None, like "\"smtp://me@mail.example.org:587\"";
        /// Password for the mail server.
        smtp_password "smtp-password": Option<Secret<Text>> = None, like "\"password\"";
        /// Who gets mail.
        mail_to "mail-to": Vec<MailAddress> = Vec::new(), like "[\"me@example.org\"]";
        /// The sender of mail. Not set: the first of mail-to.
        mail_from "mail-from": Option<MailAddress> = None, like "\"failberry@example.org\"";
    }
}

section! {
    /// Names that follow the addresses of the lines.
    Dyndns "dyndns" for ["dyndns"] {
        /// Names, each with account= (below), and where they differ from these: link=active (or wired,
        /// cellular), family=ipv4 (or ipv6, both), ttl=60, set= (which of Route 53's failover records),
        /// check=yes (look whether the DNS answers it). At Route 53 instead of link=: failover=yes, one
        /// record for each line, set up by `failberry dns apply`.
        names "names": Vec<DynamicName> = Vec::new(), like "[\"home.example.org account=home link=active\"]";
        /// Accounts with the providers, by a name of your choice and a protocol: `lambda url= secret=`
        /// (also lambda-v1, and lambda-v2 with key=), `dyndns2 url= user= password=`,
        /// `cloudflare zone= token=`, `route53 zone= key-id= secret=`,
        /// `rfc2136 server=host:53 zone= key= secret=`. Values without blanks.
        accounts "accounts": Vec<Secret<DnsAccount>> = Vec::new(), like "[\"home: cloudflare zone=0123 token=secret\"]";
        /// Who is asked for the public address of a line behind a router, over that line. Not set:
        /// `https://checkip.amazonaws.com/`.
        ask "ask": Option<WebUrl> = None, like "\"https://checkip.amazonaws.com/\"";
    }
}

section! {
    /// Pages that are asked for regularly: status and times for the status page and /metrics, a
    /// condition when one fails three times in a row.
    Prober "prober" for ["prober"] {
        /// Addresses, at most 16, each with what differs from these: every=60 (seconds, from 10),
        /// line=active (or wired, cellular, both), expect=200-399, match= (a word the page has in its
        /// first 5120 bytes), metered= (seconds over a metered line; not set: at least 900). Over a line
        /// whose quota is spent none is asked for.
        targets "targets": Vec<PageTarget> = Vec::new(), like "[\"https://example.org/ every=60 line=active\"]";
    }
}

section! {
    /// Numbers for a monitoring system. Prometheus finds them at /metrics of the status page.
    Metrics "metrics" for ["notify", "statusd"] {
        /// Answer /metrics on the status page's port, for the LAN.
        prometheus "prometheus": bool = true, like "true";
        /// A Graphite server that gets the same values in its plaintext protocol.
        graphite "graphite": Option<HostPort> = None, like "\"graphite.lan:2003\"";
        /// What the names of values at Graphite begin with.
        prefix "prefix": MetricPrefix = MetricPrefix::default(), like "\"failberry\"";
        /// Seconds between values for Graphite, 10 to 3600. None are sent while a metered line is the
        /// active one.
        interval "interval-seconds": Wait<10, 3600, 60> = Wait::default(), like "60";
    }
}

sections! {
    system: System, modem: Modem, network: Network, uplink: Uplink, metered: Metered, nics: Nics, notify: Notify, dyndns: Dyndns, prober: Prober, metrics: Metrics
}
