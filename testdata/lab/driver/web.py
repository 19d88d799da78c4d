"""nginx and curl."""

from .net import until
from .services import FILLER

CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout {keepalive};
  sendfile on;
  {extra}
}}
"""

PLAIN = """
server {{
  listen {port};
  listen [::]:{port};
  root {folder}/pages;
}}
"""

TLS = """
server {{
  listen {port} ssl;
  listen [::]:{port} ssl;
  server_name {name};
  root {folder}/pages;
  ssl_certificate {chain};
  ssl_certificate_key {key};
  ssl_protocols {protocols};
  {extra}
}}
"""


class Nginx:
    """An nginx of one node, with the pages /small, /page and /large."""

    PAGES = {"small": 600, "page": 3900, "large": 20000}

    def __init__(self, node, *servers, keepalive="65s", folder=""):
        self.node, self.folder = node, node.lab.work / f"nginx-{node.name}{folder}"
        (self.folder / "pages").mkdir(parents=True)
        for name, size in self.PAGES.items():
            (self.folder / "pages" / name).write_bytes(FILLER[:size])
        self.servers, self.keepalive = list(servers), keepalive

    def plain(self, port=80):
        self.servers.append(PLAIN.format(port=port, folder=self.folder))
        return self

    def tls(self, chain, key, port=443, name="_", protocols="TLSv1.2 TLSv1.3", extra=""):
        self.servers.append(TLS.format(port=port, folder=self.folder, chain=chain, key=key, name=name, protocols=protocols, extra=extra))
        return self

    def own(self, text):
        """A block of configuration as it stands."""
        self.servers.append(text)
        return self

    def start(self):
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=self.folder, keepalive=self.keepalive, extra="\n".join(self.servers)))
        self.process = self.node.start("nginx", "-c", config, "-e", self.folder / "error.log")
        until(lambda: self.node.run("ss", "-Hlnt").strip() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "error.log").read_text())
        return self


def curl(node, url, *options, timeout=15):
    """The status that curl saw, 000 when there was none."""
    words = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", timeout]
    return node.run(*words, *options, url, check=False, timeout=timeout + 10)
