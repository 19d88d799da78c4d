"""Lookups."""

import socket
import time

from .. import names
from ..frame import TO_SERVER
from ..lab import scenario
from ..rules import Drop
from ..services import thread, together
from ..web import Nginx
from .opening import FORWARD

ZONE = "corp.lab.example"


def forwarder(node, upstreams, zone=ZONE, extra=""):
    """An unbound that asks others for a zone."""
    lines = "".join(f"  forward-addr: {upstream}\n" for upstream in upstreams)
    names.unbound(node, f"""  ede: yes
  module-config: "iterator"
{extra}
forward-zone:
  name: "{zone}."
{lines}""")


def ask(client, resolver, hosts, kinds=(names.A, names.AAAA), pause=0.2, timeout=3.0):
    for host in hosts:
        for kind in kinds:
            names.ask(client, resolver, host, kind, timeout)
            time.sleep(pause)


@scenario
def dns_servfail_upstream(lab):
    """A forwarder gets SERVFAIL from the zone's server and hands it on; both legs are captured, other names resolve."""
    site = lab.site(rtt=32, jitter=0.5)
    resolver, client, authority = site.client("resolver"), site.client(), site.server("authority")
    names.Answering(authority, lambda query, send: send(names.answer(query, code=2)))
    forwarder(resolver, [authority.v4], extra=f'  local-data: "intranet.{ZONE}. A {site.servers.v4[80]}"')
    with lab.capture(site, "client side"):
        ask(client, resolver.v4, [f"db.{ZONE}", f"db.{ZONE}", f"ldap.{ZONE}"])
        ask(client, resolver.v4, [f"intranet.{ZONE}"] * 2, kinds=[names.A])
    lab.truth.expect("dns_servfail", severity="warning", server=resolver.v4, port=53, mentions="lab.example", failed=6)
    lab.truth.shows = "dns.flags.response == 1 && dns.flags.rcode == 2"


@scenario
def dns_servfail_timeout(lab):
    """A forwarder's upstream is silent: it tries for a while and answers SERVFAIL itself, with an extended error."""
    site = lab.site(rtt=20, jitter=0.5)
    resolver, client, authority = site.client("resolver"), site.client(), site.server("authority")
    names.Answering(authority, lambda query, send: None)
    forwarder(resolver, [authority.v4], extra="  infra-cache-max-rtt: 900\n  outbound-msg-retry: 1\n  max-sent-count: 3")
    with lab.capture(site, "client side"):
        together(*(lambda host=host: ask(client, resolver.v4, [f"{host}.{ZONE}"], kinds=[names.A], timeout=40) for host in ("mail", "files", "sso")))
    lab.truth.expect("dns_servfail", severity="warning", server=resolver.v4, port=53, mentions="lab.example", failed=3)
    lab.truth.expect("dns_unanswered", server=authority.v4, port=53)
    lab.truth.shows = "dns.flags.response == 1 && dns.flags.rcode == 2"


@scenario
def dns_servfail_ipv6(lab):
    """The same refusal to answer over IPv6, from a resolver behind the path, for one name of several."""
    site = lab.site(rtt=58, jitter=0.5)
    resolver, client = site.server("resolver"), site.client()
    broken = names.encode("api")[:-1]

    def reply(query, send):
        send(names.answer(query, code=2) if query[12:].startswith(broken) else names.answer(query, code=0))

    names.Answering(resolver, reply)
    with lab.capture(site, "server side"):
        ask(client, resolver.v6, [f"api.{ZONE}", f"www.{ZONE}", f"api.{ZONE}", f"cdn.{ZONE}"])
    lab.truth.expect("dns_servfail", severity="warning", server=resolver.v6, port=53, mentions="lab.example", failed=4)
    lab.truth.shows = "ipv6 && dns.flags.response == 1 && dns.flags.rcode == 2"


@scenario
def dns_fail_over(lab):
    """The first resolver is silent: glibc waits two seconds for each lookup and asks the second one, which answers."""
    site = lab.site(rtt=24, jitter=0.5, rules=[Drop(TO_SERVER, ports=53, match=lambda frame: frame.target.endswith(".200"))])
    client, first, second = site.client(), site.server("first", number=200), site.server("second", number=201)
    for resolver in (first, second):
        names.dnsmasq(resolver, "--local=/example/", f"--host-record=app.{ZONE},{site.servers.v4[80]}")
    names.resolvers(client, first.v4, second.v4, options="timeout:2 attempts:2")
    with lab.capture(site, "client side"):
        for _ in range(3):
            names.lookup(client, f"app.{ZONE}")
            time.sleep(0.3)
        time.sleep(1)
    lab.truth.expect("dns_unanswered", server=first.v4, port=53)
    lab.truth.shows = f"dns.flags.response == 0 && ip.dst == {first.v4}"


@scenario
def dns_nxdomain(lab):
    """Names that do not exist, asked for again and again: answers, not failures."""
    site = lab.site(rtt=17, jitter=0.5)
    client, resolver = site.client(), site.server("resolver")
    names.dnsmasq(resolver, "--local=/example/")
    names.resolvers(client, resolver.v4, search=["a.example", "b.example", "lab.example"])
    with lab.capture(site, "client side"):
        for number in range(6):
            names.lookup(client, f"printer{number}")
    lab.truth.shows = "dns.flags.rcode == 3"


def long_text(node, extra=""):
    """A resolver with a name whose text does not fit into 512 bytes."""
    text = "".join(f'  local-data: \'long.{ZONE}. TXT "{number:03d} {"k" * 200}"\'\n' for number in range(5))
    names.unbound(node, f"  max-udp-size: 512\n  local-zone: \"{ZONE}.\" static\n{text}{extra}")


def truncated_then_tcp(client, resolver, times):
    for _ in range(times):
        names.ask(client, resolver.v4, f"long.{ZONE}", names.TXT)
        names.ask_tcp(client, resolver.v4, f"long.{ZONE}", names.TXT, timeout=3.5)
        time.sleep(0.3)


@scenario
def dns_truncated(lab):
    """An answer is too long for UDP; the client asks again over TCP and gets it."""
    site = lab.site(rtt=29, jitter=0.5)
    client, resolver = site.client(), site.server("resolver")
    long_text(resolver)
    with lab.capture(site, "client side"):
        truncated_then_tcp(client, resolver, 4)
    lab.truth.shows = "dns.flags.truncated == 1"


@scenario
def dns_truncated_blocked(lab):
    """The same, and something drops DNS over TCP: the long answer never arrives, short ones do."""
    site = lab.site(rtt=35, jitter=0.5)
    client, resolver = site.client(), site.server("resolver")
    long_text(resolver)
    site.east.nft(FORWARD.format(f"ip daddr {resolver.v4} tcp dport 53 drop"))
    with lab.capture(site, "client side"):
        truncated_then_tcp(client, resolver, 3)
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="silent", server=resolver.v4, port=53)
    lab.truth.expect("dns_truncation", variant="blocked", server=resolver.v4, port=53)
    lab.truth.shows = "tcp.dstport == 53 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def dns_slow(lab):
    """A resolver answers everything, after 0.6 to 1.6 seconds; another one at once."""
    site = lab.site(rtt=12, jitter=0.5)
    client, resolver = site.client(), site.server("resolver")

    def later(query, send):
        def reply():
            time.sleep(0.6 + query[1] % 100 / 100)
            send(names.answer(query, [str(site.servers.v4[77])]))

        thread(reply)

    names.Answering(resolver, later)
    with lab.capture(site, "client side"):
        for number in range(8):
            names.ask(client, resolver.v4, f"node{number}.{ZONE}", number=number * 29)
    lab.truth.expect("dns_slow", server=resolver.v4, port=53)
    lab.truth.shows = "dns.time > 0.5"


@scenario
def dns_conflict(lab):
    """Each query gets two answers that differ, the wrong one first, as from somebody else in the resolver's name."""
    site = lab.site(rtt=65, jitter=0.5)
    client, resolver = site.client(), site.server("resolver")

    def twice(query, send):
        send(names.answer(query, ["10.99.88.77"], ttl=604800))
        time.sleep(0.02)
        send(names.answer(query, [str(site.servers.v4[77])]))

    names.Answering(resolver, twice)
    with lab.capture(site, "client side"):
        made = client.new_socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(4):
            names.ask(client, resolver.v4, f"dispatch.{ZONE}", number=1000 + number, made=made)
            made.recv(2000)
            time.sleep(0.3)
        made.close()
    lab.truth.expect("dns_conflict", server=resolver.v4, port=53)
    lab.truth.shows = "dns.a == 10.99.88.77"


@scenario
def dns_unexpected_resolver(lab):
    """Five hosts ask their resolver; one of them asks another, which answers with other addresses."""
    site = lab.site(rtt=22, jitter=0.5)
    clients = [site.client(f"client{number}") for number in range(5)]
    usual, other = site.server("usual"), site.server("other")
    names.dnsmasq(usual, "--local=/example/", f"--host-record=app.{ZONE},{site.servers.v4[77]}")
    names.dnsmasq(other, "--local=/example/", f"--host-record=app.{ZONE},10.99.88.78")
    with lab.capture(site, "client side"):
        for client in clients:
            ask(client, (other if client is clients[3] else usual).v4, [f"app.{ZONE}"] * 3, kinds=[names.A], pause=0.1)
    lab.truth.expect("dns_unexpected_resolver", server=other.v4, port=53)
    lab.truth.shows = "dns.a == 10.99.88.78"


@scenario
def dns_poisoned(lab):
    """Of five hosts one asks another resolver, which leads it to a stranger: its certificate is for another name."""
    site = lab.site(rtt=18, jitter=0.5)
    clients = [site.client(f"client{number}") for number in range(5)]
    usual, other, right, wrong = (site.server(name) for name in ("usual", "other", "right", "wrong"))
    host = f"dispatch.{ZONE}"
    for node, named in ((right, host), (wrong, "portal.stranger.example")):
        Nginx(node).tls(*lab.authority.leaf(f"{lab.name}-{node.name}", named), port=443).start()
    names.dnsmasq(usual, "--local=/example/", f"--host-record={host},{right.v4}")
    names.dnsmasq(other, "--local=/example/", f"--host-record={host},{wrong.v4}")

    def visits(client, server):
        checks = "-tls1_2", "-CAfile", lab.authority.path("root.pem"), "-verify_hostname", host, "-verify_return_error"
        words = "openssl", "s_client", "-connect", f"{server.v4}:443", "-servername", host, "-quiet", *checks
        client.run("timeout", "5", *words, given="GET /small HTTP/1.0\r\n\r\n", check=False)

    with lab.capture(site, "client side"):
        for _ in range(3):
            for number, client in enumerate(clients):
                resolver, server = (other, wrong) if number == 3 else (usual, right)
                names.ask(client, resolver.v4, host)
                visits(client, server)
    lab.truth.expect("dns_unexpected_resolver", severity="warning", server=other.v4, port=53)
    lab.truth.expect("tls_certificate", variant="name_mismatch", server=wrong.v4, port=443)
    lab.truth.allow("tls_alert", "dns_conflict")
    lab.truth.shows = f"dns.a == {wrong.v4}"


@scenario
def dns_refused(lab):
    """A resolver refuses a network that it does not serve."""
    site = lab.site(rtt=26, jitter=0.5)
    client, resolver = site.client(), site.server("resolver")
    names.unbound(resolver, f"  access-control: {client.v4}/32 refuse")
    with lab.capture(site, "client side"):
        ask(client, resolver.v4, [f"app.{ZONE}", f"www.{ZONE}"])
    lab.truth.expect("dns_error", variant="refused", server=resolver.v4, port=53)
    lab.truth.shows = "dns.flags.rcode == 5"
