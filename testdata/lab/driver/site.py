"""The standard topology: clients - west router - relay - east router - servers.

    client  eth0 --- lan [west] wan ===relay=== wan [east] lan --- eth0  server

A router's `lan` is a bridge. `client side` is west's lan, `server side` east's, `middle` west's wan: before the relay for what
the clients send, and behind it for what the servers send.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from . import variation
from .frame import TO_CLIENT, TO_SERVER
from .net import Node
from .relay import Relay


@dataclass
class Lan:
    """A router's network of hosts."""

    router: Node
    number: int
    v4: ipaddress.IPv4Network
    v6: ipaddress.IPv6Network

    def gateways(self):
        return self.v4[1], self.v6[1]


class Site:
    """Both lans and the path between them."""

    VANTAGES = {"client side": ("west", "lan"), "server side": ("east", "lan"), "middle": ("west", "wan"), "far middle": ("east", "wan")}

    def __init__(self, lab, rtt, rules=(), jitter=0.0, rate=None, wan_mtu=1500, skew=0.5):
        """`rtt` in ms, of which the share `skew` is on the way to the server."""
        self.lab, self.rtt = lab, rtt
        self.random = variation.choose(lab.name)
        # No two scenarios have the same addresses, so that nothing can be tuned to one.
        self.octet = self.random.randrange(16, 250)
        self.west, self.east = Node(lab, "west"), Node(lab, "east")
        self.clients = self._lan(self.west, self.random.randrange(1, 99))
        self.servers = self._lan(self.east, self.random.randrange(100, 250))
        self.used = {}
        delays = {TO_SERVER: rtt * skew / 1000, TO_CLIENT: rtt * (1 - skew) / 1000}
        self.relay = Relay(lab, self.west, self.east, delays, jitter / 1000, rules, rate)
        self._wan(self.west, 1, 2, self.servers, wan_mtu)
        self._wan(self.east, 2, 1, self.clients, wan_mtu)

    def _lan(self, router, number):
        v4 = ipaddress.ip_network(f"10.{self.octet}.{number}.0/24")
        v6 = ipaddress.ip_network(f"fd00:{self.octet:x}:{number:x}::/64")
        # An address of its own, because a bridge's otherwise changes with the hosts that are plugged into it.
        mac = f"02:00:00:{self.octet:02x}:{number:02x}:01"
        router.ip(f"link add lan address {mac} type bridge", "link set lan up", f"addr add {v4[1]}/24 dev lan", f"addr add {v6[1]}/64 dev lan nodad")
        # As a data centre's router: errors of a test come one after another.
        router.set(**{"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1, "net.ipv4.icmp_ratelimit": 0, "net.ipv4.conf.all.send_redirects": 0})
        if Path("/proc/sys/net/bridge").exists():
            # A router's firewall sees what it routes, not what passes its lan.
            router.set(**{"net.bridge.bridge-nf-call-iptables": 0, "net.bridge.bridge-nf-call-ip6tables": 0})
        return Lan(router, number, v4, v6)

    def _wan(self, router, own, other, far, mtu):
        v4, v6 = f"10.{self.octet}.0.", f"fd00:{self.octet:x}::"
        router.ip(
            f"link set wan mtu {mtu} up",
            f"addr add {v4}{own}/30 dev wan",
            f"addr add {v6}{own}/64 dev wan nodad",
            f"route add {far.v4} via {v4}{other}",
            f"route add {far.v6} via {v6}{other}",
        )

    def host(self, lan, name, number=None, mac=None):
        """A host with both families' addresses and default routes."""
        node = Node(self.lab, name)
        taken = self.used.setdefault(lan.number, {1})
        number = number or self.random.choice([free for free in range(10, 250) if free not in taken])
        taken.add(number)
        node.number, node.lan = number, lan
        settings = variation.settings(self.lab.name + name)
        node.set(**settings)
        self.lab.truth.selective &= settings.get("net.ipv4.tcp_sack") != 0
        node.v4, node.v6 = str(lan.v4[number]), str(lan.v6[number])
        self.plug(node, mac)
        return node

    def plug(self, node, mac=None):
        """A cable between the host and its router, and its addresses."""
        lan = node.lan
        gateway4, gateway6 = lan.gateways()
        own = f" address {mac}" if mac else ""
        lan.router.ip(f"link add {node.name} type veth peer name eth0 netns {node.namespace}", f"link set {node.name} master lan up")
        node.ip(*([f"link set eth0{own}"] if mac else []), f"addr add {node.v4}/24 dev eth0", f"addr add {node.v6}/64 dev eth0 nodad",
                "link set eth0 up", f"route add default via {gateway4}", f"route add default via {gateway6}")
        node.plain("eth0")
        lan.router.plain(node.name)

    def client(self, name="client", **options):
        return self.host(self.clients, name, **options)

    def server(self, name="server", **options):
        return self.host(self.servers, name, **options)

    def vantage(self, name):
        router, device = self.VANTAGES[name]
        return getattr(self, router), device
