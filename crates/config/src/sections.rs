//! Every section of `failberry.toml`. To add a key, add it here and run
//! `cargo run -p config --example print > docs/failberry.example.toml`.

use crate::schema::{section, sections};
use crate::values::{Apn, Cidr, DialNumber, Hostname, InterfaceName, Mode, OpenPort, Pin, Secret, Text};

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
        /// Access point name, from the phone provider. Not set: what the stick has stored.
        apn "apn": Option<Apn> = None, like "\"internet\"";
        /// User name, only if the provider asks for one.
        user "user": Option<Text> = None, like "\"web\"";
        /// Password, only if the provider asks for one.
        password "password": Option<Secret<Text>> = None, like "\"web\"";
        /// PIN of the SIM, 4 to 8 digits in quotes. Never tried twice, never with fewer than 3 tries left.
        pin "pin": Option<Secret<Pin>> = None, like "\"0000\"";
        /// Use foreign networks too. This can be expensive.
        roaming "roaming": bool = false, like "false";
        /// What is dialled for a data call. Leave it unless the provider says otherwise.
        dial_number "dial-number": DialNumber = DialNumber::default(), like "\"*99#\"";
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

sections! { system: System, modem: Modem, network: Network }
