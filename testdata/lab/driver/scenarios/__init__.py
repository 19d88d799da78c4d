"""The scenarios, a file per group."""

from . import healthy, loss, mtu, opening, resets
