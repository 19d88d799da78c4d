//! Ports that services are known by.

use crate::detect::answers::is_private;
use crate::dissect::Endpoint;

/// From here on kernels choose ports for clients (Linux `ip_local_port_range`; IANA's dynamic ports begin at
/// 49152).
const CHOSEN: u16 = 32_768;

/// Registered ports above the system ports (RFC 6335 section 6), and alternatives in common use, on which
/// people expect a service. In order.
const KNOWN: [u16; 65] = [
    1080, 1194, 1352, 1433, 1434, 1494, 1521, 1701, 1720, 1723, 1883, 1935, 2049, 2083, 2181, 2222, 2375,
    2376, 2379, 2380, 2404, 2598, 3128, 3260, 3268, 3269, 3306, 3389, 3690, 3868, 4369, 4443, 4840, 5000,
    5044, 5060, 5061, 5222, 5223, 5269, 5432, 5601, 5671, 5672, 5900, 5985, 5986, 6379, 6443, 6514, 7001,
    7443, 8000, 8008, 8080, 8081, 8443, 8883, 8888, 9092, 9100, 9200, 9443, 11_211, 27_017,
];

/// Ports on which an application looks for peers, wherever they are: 7680, Delivery Optimization of Windows.
const PEERS: [u16; 1] = [7680];

/// What answers on this port is a peer, and another one does as well.
pub(super) fn is_peer(port: u16) -> bool {
    PEERS.contains(&port)
}

/// Ports on which Windows gets the events that it subscribed to, from routers, printers and the like: 2869
/// (UPnP Device Architecture 2.0 section 4), 5357 (Web Services on Devices). Its firewall may drop them.
const CALLBACKS: [u16; 2] = [2869, 5357];

/// A device calls back on it by itself, and nobody waits for that.
pub(super) fn is_callback(port: u16) -> bool {
    CALLBACKS.contains(&port)
}

/// A service is known by this port.
pub(super) fn is_known(port: u16) -> bool {
    port < 1024 || KNOWN.binary_search(&port).is_ok()
}

/// No service is known by this port, and nobody's own network explains it: a peer, a data connection, a
/// guess. In private networks people choose ports as they like, below those that kernels choose.
pub(super) fn is_random(server: Endpoint) -> bool {
    let chosen = server.port >= CHOSEN || is_peer(server.port) || !is_private(server.address);
    chosen && !is_known(server.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ports_are_in_order() {
        assert!(KNOWN.is_sorted() && KNOWN.iter().all(|port| is_known(*port)));
    }

    #[test]
    fn a_port_is_random_by_itself_or_by_where_it_is() {
        let random =
            |address: &str, port| is_random(Endpoint { address: address.parse().expect("an address"), port });
        for (address, port, is) in [
            ("203.0.113.9", 443, false),
            ("203.0.113.9", 8443, false),
            ("203.0.113.9", 16_881, true),
            ("10.9.0.4", 16_881, false),
            ("10.9.0.4", 51_413, true),
            ("10.9.0.4", 7680, true),
            ("fd00::4", 7_001, false),
        ] {
            assert_eq!(random(address, port), is, "{address} {port}");
        }
    }
}
