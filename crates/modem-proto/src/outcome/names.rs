//! Numbers of errors and their names. They are for people: the words are the standard's, made plain.

/// `+CME ERROR` (3GPP TS 27.007 section 9.2; the numbers as in `ModemManager`'s
/// include/ModemManager-errors.h, which follows version 17.1.0).
const MOBILE: [(u16, &str); 134] = [
    (0, "phone failure"),
    (1, "no connection to the device"),
    (2, "link reserved"),
    (3, "operation not allowed"),
    (4, "operation not supported"),
    (5, "the stick is locked to a SIM"),
    (6, "the stick is locked to its first SIM"),
    (7, "the stick is locked to its first SIM, PUK required"),
    (10, "SIM not inserted"),
    (11, "SIM PIN required"),
    (12, "SIM PUK required"),
    (13, "SIM failure"),
    (14, "SIM busy"),
    (15, "SIM wrong"),
    (16, "incorrect password"),
    (17, "SIM PIN2 required"),
    (18, "SIM PUK2 required"),
    (20, "memory full"),
    (21, "invalid index"),
    (22, "not found"),
    (23, "memory failure"),
    (24, "text string too long"),
    (25, "invalid characters in text string"),
    (26, "dial string too long"),
    (27, "invalid characters in dial string"),
    (30, "no network service"),
    (31, "network timeout"),
    (32, "network not allowed, emergency calls only"),
    (40, "the stick is locked to a network"),
    (41, "the stick is locked to a network, PUK required"),
    (42, "the stick is locked to a part of a network"),
    (43, "the stick is locked to a part of a network, PUK required"),
    (44, "the stick is locked to a provider"),
    (45, "the stick is locked to a provider, PUK required"),
    (46, "the stick is locked to a company"),
    (47, "the stick is locked to a company, PUK required"),
    (48, "hidden key required"),
    (49, "EAP method not supported"),
    (50, "incorrect parameters"),
    (51, "command disabled"),
    (52, "command aborted"),
    (53, "not attached, the stick is restricted"),
    (54, "emergency calls only"),
    (55, "operation not allowed, the stick is restricted"),
    (56, "fixed dial numbers only"),
    (57, "temporarily out of service"),
    (58, "language or alphabet not supported"),
    (59, "unexpected data value"),
    (60, "system failure"),
    (61, "data missing"),
    (62, "call barred"),
    (63, "subscription to message waiting failed"),
    (100, "unknown error"),
    (102, "subscriber unknown at home"),
    (103, "illegal subscriber"),
    (104, "subscriber unknown in this network"),
    (105, "device not accepted"),
    (106, "illegal device"),
    (107, "packet service not allowed"),
    (108, "packet and voice service not allowed"),
    (109, "identity not known to the network"),
    (110, "detached by the network"),
    (111, "network not allowed"),
    (112, "location area not allowed"),
    (113, "roaming not allowed in this location area"),
    (114, "packet service not allowed in this network"),
    (115, "no suitable cells in this location area"),
    (116, "exchange temporarily not reachable"),
    (117, "network failure while attaching"),
    (118, "voice service not available"),
    (119, "session management failure"),
    (122, "congestion"),
    (124, "broadcast bearer not sufficient"),
    (125, "not authorised for this group of cells"),
    (126, "insufficient resources"),
    (127, "missing or unknown APN"),
    (128, "unknown PDP address or type"),
    (129, "user authentication failed"),
    (130, "activation rejected by the gateway"),
    (131, "activation rejected"),
    (132, "service option not supported"),
    (133, "service option not subscribed"),
    (134, "service option temporarily out of order"),
    (135, "context number already in use"),
    (136, "regular deactivation"),
    (137, "quality of service not accepted"),
    (138, "call cannot be identified"),
    (139, "voice service temporarily not available"),
    (140, "feature not supported"),
    (141, "semantic error in the traffic template"),
    (142, "syntactical error in the traffic template"),
    (143, "unknown PDP context"),
    (144, "semantic error in a packet filter"),
    (145, "syntactical error in a packet filter"),
    (146, "PDP context without template already active"),
    (147, "multicast membership timed out"),
    (148, "unspecified packet service error"),
    (149, "PDP authentication failure"),
    (150, "invalid mobile class"),
    (151, "last connection may not be cut"),
    (171, "last connection may not be cut"),
    (172, "semantically incorrect message"),
    (173, "invalid mandatory information"),
    (174, "message type not implemented"),
    (175, "conditional element wrong"),
    (176, "unspecified protocol error"),
    (177, "barred by the provider"),
    (178, "too many connections"),
    (179, "APN not supported here"),
    (180, "bearer control mode violated"),
    (181, "quality class not supported"),
    (182, "control plane congested"),
    (183, "short messages only"),
    (184, "invalid transaction number"),
    (185, "no connection active"),
    (186, "message does not fit the protocol's state"),
    (187, "recovery after a timer"),
    (188, "invalid transaction identifier"),
    (189, "service option not authorised in this network"),
    (190, "network failure while activating"),
    (191, "activate again"),
    (192, "only IPv4 allowed"),
    (193, "only IPv6 allowed"),
    (194, "only single addresses allowed"),
    (195, "collided with a request of the network"),
    (196, "only IPv4v6 allowed"),
    (197, "only non-IP allowed"),
    (198, "bearer handling not supported"),
    (199, "APN restriction does not fit"),
    (200, "only one access allowed"),
    (201, "session information not received"),
    (202, "connection does not exist"),
    (203, "only one connection with this APN allowed"),
    (204, "severe network failure"),
];

/// `+CMS ERROR` (3GPP TS 27.005 section 3.2.5).
const MESSAGE: [(u16, &str); 23] = [
    (300, "device failure"),
    (301, "message service reserved"),
    (302, "operation not allowed"),
    (303, "operation not supported"),
    (304, "invalid PDU mode parameter"),
    (305, "invalid text mode parameter"),
    (310, "SIM not inserted"),
    (311, "SIM PIN required"),
    (312, "the stick is locked to a SIM"),
    (313, "SIM failure"),
    (314, "SIM busy"),
    (315, "SIM wrong"),
    (316, "SIM PUK required"),
    (317, "SIM PIN2 required"),
    (318, "SIM PUK2 required"),
    (320, "memory failure"),
    (321, "invalid memory index"),
    (322, "memory full"),
    (330, "message centre unknown"),
    (331, "no network service"),
    (332, "network timeout"),
    (340, "no acknowledgement expected"),
    (500, "unknown error"),
];

/// Words of the standard's verbose form (`AT+CMEE=2`), for sticks that use it unasked, where they
/// differ from the names above.
const WORDS: [(u16, &str); 8] = [
    (5, "PH-SIM PIN required"),
    (32, "network not allowed - emergency calls only"),
    (40, "network personalisation PIN required"),
    (40, "network personalization PIN required"),
    (100, "unknown"),
    (107, "GPRS services not allowed"),
    (113, "roaming not allowed in this location area"),
    (148, "unspecified GPRS error"),
];

/// The name of a `+CME ERROR`.
pub(super) fn mobile(code: u16) -> &'static str {
    name(&MOBILE, code)
}

/// The name of a `+CMS ERROR`.
pub(super) fn message(code: u16) -> &'static str {
    name(&MESSAGE, code)
}

/// The number of a `+CME ERROR` in words.
pub(super) fn mobile_code(words: &str) -> Option<u16> {
    let same = |(_, name): &&(u16, &str)| name.eq_ignore_ascii_case(words);
    WORDS.iter().chain(&MOBILE).find(same).map(|(code, _)| *code)
}

fn name(table: &[(u16, &'static str)], code: u16) -> &'static str {
    table.binary_search_by_key(&code, |(known, _)| *known).map_or("unknown error", |index| table[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_have_no_number_twice() {
        for table in [&MOBILE[..], &MESSAGE[..]] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn words_become_the_numbers_the_machine_knows() {
        for (words, code) in
            [("SIM busy", 14), ("SIM PIN required", 11), ("sim not inserted", 10), ("unknown", 100)]
        {
            assert_eq!(mobile_code(words), Some(code), "{words}");
        }
        assert_eq!(mobile_code("something else"), None);
    }
}
