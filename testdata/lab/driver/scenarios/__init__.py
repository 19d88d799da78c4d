"""The scenarios, a file per group."""

from . import healthy, loss, opening, resets, mtu, tls, dns, asymmetric, slow, artefacts
