"""Other captures of the same incidents: another seed gives other addresses, round trips, losses and kernel settings."""

import random

# 0: the committed captures.
SEED = 0

HOSTS = (
    {},
    {"net.ipv4.tcp_timestamps": 0},
    {"net.ipv4.tcp_sack": 0},
    {"net.ipv4.tcp_early_retrans": 0},
    {"net.ipv4.tcp_window_scaling": 0},
    {"net.ipv4.tcp_recovery": 0},
)


def choose(name):
    """A generator for what a scenario chooses."""
    return random.Random(f"{name}{SEED or ''}")


def stretched(name, rtt):
    """The round trip, from half to double."""
    return round(rtt * 2 ** choose(name + "rtt").uniform(-1, 1), 1) if SEED else rtt


def settings(name):
    """Of one host."""
    return choose(name + "settings").choice(HOSTS) if SEED else {}


def congestion_control(name):
    return choose(name + "control").choice(("cubic", "reno", "bbr")) if SEED else "cubic"
