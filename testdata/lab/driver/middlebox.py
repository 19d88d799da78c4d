"""A device on the path that reads packets and writes some of its own in others' names."""

import socket
import struct
from dataclasses import dataclass


def checksum(text):
    total = sum(struct.unpack(f"!{(len(text) + 1) // 2}H", text + b"\0" * (len(text) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(source, target, ports, sequence, acknowledgement, flags, ttl=64, window=64240):
    """An IPv4 packet with a TCP header, whoever's address it has."""
    pair = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledgement, 0x50, flags, window, 0, 0)
    tcp = head[:16] + struct.pack("!H", checksum(pair + struct.pack("!HH", 6, 20) + head)) + head[18:]
    return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, ttl, 6, 0) + pair + tcp


@dataclass
class Segment:
    """What a middlebox sees of an IPv4 TCP packet."""

    source: str
    target: str
    ports: tuple
    sequence: int
    acknowledgement: int
    flags: int
    payload: int

    @classmethod
    def read(cls, packet):
        if packet[9] != 6:
            return None
        *ports, sequence, acknowledgement, offset, flags = struct.unpack_from("!HHIIBB", packet, 20)
        payload = int.from_bytes(packet[2:4], "big") - 20 - (offset >> 4) * 4
        source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        return cls(source, target, tuple(ports), sequence, acknowledgement, flags, payload)

    @property
    def following(self):
        return (self.sequence + self.payload) & 0xFFFFFFFF

    def to_sender(self, flags, **fields):
        """As if its receiver answered."""
        return segment(self.target, self.source, self.ports[::-1], self.acknowledgement, self.following, flags, **fields)

    def to_receiver(self, flags, **fields):
        """As if its sender went on."""
        return segment(self.source, self.target, self.ports, self.following, self.acknowledgement, flags, **fields)


class Middlebox:
    """Raw sockets of a router: what passes a device, and what it sends itself."""

    def __init__(self, node, device):
        self.reader = node.new_socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.reader.bind((device, 0x0800))
        self.writer = node.new_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        node.lab.at_end(self.close)

    def segments(self, port):
        """Those of a service, until it is closed."""
        while True:
            try:
                found = Segment.read(self.reader.recv(2000))
            except OSError:
                return
            if found and port in found.ports:
                yield found

    def send(self, packet):
        self.writer.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))

    def close(self):
        self.reader.close()
        self.writer.close()
