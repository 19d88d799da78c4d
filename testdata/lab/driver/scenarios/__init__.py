"""The scenarios, a file per group."""

from . import (
    healthy, alike, loss, opening, resets, mtu, tls, upgrades, quic, dns, asymmetric, slow, applications, path, artefacts,
)
