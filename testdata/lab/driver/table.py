"""The README's table, from the truth files."""

import tomllib

HEAD = """# Captures of real stacks

Made by `testdata/lab/make`, as root on Linux: network namespaces, the kernel's own TCP, real servers (nginx, openssl, curl,
dnsmasq, unbound), and a relay in the path that delays, drops, repeats and reorders by rules and counts what it did. It needs
iproute2, nftables, ethtool, conntrack, tcpdump and tshark, too, and a Python with aioquic for QUIC. `make NAME...` makes those
whose names begin so. Traffic stays inside the namespaces, and what was made is removed.

    client  eth0 --- lan [west] wan ===relay=== wan [east] lan --- eth0  server

Every capture has healthy traffic of a host of its own beside the incident. `driver/scenarios` says what was done; the truth file
beside a capture says what has to be found, what tshark shows of it (`shows`, `frames`) and what the relay did. Addresses, round
trips and seeds differ from scenario to scenario. Making them again gives other packets with the same truth;
`make --seed 2 FOLDER` makes them with other addresses, round trips, losses and kernel settings elsewhere, and
`LAB=FOLDER cargo test --test lab` scores those.

This table is made by the same command.

| capture | what happens | must be found |
|---|---|---|
"""


def write(folder, captures, order):
    lines = []
    for name in order:
        path = captures / f"{name}.toml"
        if not path.exists():
            continue
        text = path.read_text()
        expected = [f"`{found['detector']}` {found.get('variant', '')}".strip() for found in tomllib.loads(text).get("expect", [])]
        comment = [line[2:] for line in text.splitlines() if line.startswith("# ")]
        what = " ".join(comment[: next(number for number, line in enumerate(comment) if line.startswith("Round trip"))])
        lines.append(f"| `{name}` | {what} | {', '.join(dict.fromkeys(expected)) or 'nothing'} |\n")
    (folder / "README.md").write_text(HEAD + "".join(lines))
