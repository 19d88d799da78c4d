"""Healthy traffic beside every incident: web, TLS 1.2 and 1.3, DNS with a search list and type 65, keep-alives, closings by RST."""

import socket
import time

from . import names, variation
from .services import Service, ask, connect, exchange, reset_on_close, thread, tolerant
from .web import Nginx, curl

DOMAIN = "lab.example"


class Background:
    """Two hosts of its own at each side: `user` asks, `web` answers."""

    def __init__(self, site):
        self.lab, self.random = site.lab, variation.choose(site.lab.name + "background")
        self.user, self.web = site.client("user"), site.server("web")
        chain, key = site.lab.authority.leaf(f"web-{site.lab.name}", f"web.{DOMAIN}")
        Nginx(self.web).plain().tls(chain, key, name=f"web.{DOMAIN}").start()
        names.dnsmasq(self.web, f"--local=/example/", f"--host-record=web.{DOMAIN},{self.web.v4},{self.web.v6}")
        names.resolvers(self.user, self.web.v4, search=["corp.example", DOMAIN])
        Service(self.web, 5222, exchange())
        self.running = False

    def __enter__(self):
        self.running = True
        self.work = [thread(self._fetch), thread(self._talk)]
        return self

    def __exit__(self, *_):
        self.running = False
        for work in self.work:
            work.join(20)

    def _fetch(self):
        """At most so many, because the incident is what the capture is for."""
        authority = ("--cacert", self.lab.authority.path("root.pem"))
        kinds = [
            lambda: curl(self.user, "http://web/small"),
            lambda: curl(self.user, f"https://web.{DOMAIN}/small", "--tls-max", "1.2", *authority),
            lambda: names.ask(self.user, self.web.v4, f"web.{DOMAIN}", names.HTTPS),
            lambda: curl(self.user, f"https://web.{DOMAIN}/page", "-4", *authority),
            lambda: curl(self.user, f"http://web.{DOMAIN}/page", "-6"),
            lambda: names.ask(self.user, self.web.v6, f"web.{DOMAIN}", names.AAAA),
            self._reset,
        ]
        for kind in kinds + self.random.choices(kinds, k=5):
            if not self.running:
                return
            kind()
            time.sleep(self.random.uniform(0.1, 0.5))

    def _reset(self):
        """Takes its answer, closes its direction, and resets instead of waiting: no harm done."""
        with tolerant(), connect(self.user, self.web, 5222) as made:
            ask(made, 300)
            made.shutdown(socket.SHUT_WR)
            made.recv(1)
            reset_on_close(made)

    def _talk(self):
        """One connection that is idle most of the time, with the kernel's keep-alives."""
        tcp = socket.IPPROTO_TCP
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (tcp, socket.TCP_KEEPIDLE, 1), (tcp, socket.TCP_KEEPINTVL, 1)]
        with tolerant(), connect(self.user, self.web, 5222, family=socket.AF_INET6, options=options) as made:
            while self.running:
                ask(made, 200)
                for _ in range(25):
                    time.sleep(0.1)
                    if not self.running:
                        break
