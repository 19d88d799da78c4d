"""A certificate authority of the run's own; nothing of it is kept."""

import datetime

from .net import run

CONFIG = """
[ca]
default_ca = lab
[lab]
database = {folder}/{name}.index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = {names}
[req]
distinguished_name = subject
[subject]
"""


class Authority:
    """`root.pem`, `issuing.pem` (an intermediate) and leaves, in days from now."""

    def __init__(self, folder, domain, issuing=(-400, 2000)):
        self.folder, self.domain = folder, domain
        folder.mkdir()
        self._sign("root", None, "authority", (-900, 5000), "Lab Root")
        self._sign("issuing", "root", "authority", issuing, "Lab Issuing")

    def path(self, name):
        return self.folder / name

    def leaf(self, name, host, days=(-40, 50), chain=("issuing",)):
        """The certificate followed by the chain as a server sends it, and its key: two paths."""
        self._sign(name, "issuing", "leaf", days, host)
        whole = "".join(self.path(f"{part}.pem").read_text() for part in (name, *chain))
        self.path(f"{name}.chain").write_text(whole)
        return self.path(f"{name}.chain"), self.path(f"{name}.key")

    def _sign(self, name, issuer, extensions, days, subject):
        key, request, made = (self.path(f"{name}.{ending}") for ending in ("key", "csr", "pem"))
        config = self.path(f"{name}.conf")
        # An index for each, because several scenarios sign at the same time.
        self.path(f"{name}.index").touch()
        config.write_text(CONFIG.format(folder=self.folder, name=name, names=f"DNS:{subject}" if extensions == "leaf" else "DNS:none"))
        start, end = (at(day) for day in days)
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        run("openssl", "req", "-new", "-config", config, "-key", key, "-subj", f"/CN={subject}", "-out", request)
        by = ["-cert", self.path(f"{issuer}.pem"), "-keyfile", self.path(f"{issuer}.key")] if issuer else ["-selfsign", "-keyfile", key]
        run("openssl", "ca", "-batch", "-notext", "-config", config, *by, "-extensions", extensions,
            "-startdate", start, "-enddate", end, "-in", request, "-out", made)


def at(days):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%Y%m%d%H%M%SZ")
