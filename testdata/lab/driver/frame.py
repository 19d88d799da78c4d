"""As much of a frame as the relay's rules look at."""

import socket
import struct

TO_SERVER, TO_CLIENT = "to_server", "to_client"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Frame:
    """An Ethernet frame on its way through the relay."""

    def __init__(self, data, way, now):
        self.bytes, self.way, self.now = data, way, now
        self.protocol = self.size = self.payload = self.flags = self.seq = 0
        self.source = self.target = None
        self.ports = ()
        kind = data[12:14]
        if kind == b"\x08\x00":
            self._ipv4(data[14:])
        elif kind == b"\x86\xdd":
            self._ipv6(data[14:])

    def _ipv4(self, packet):
        header = (packet[0] & 15) * 4
        self.size, self.protocol = struct.unpack_from("!H", packet, 2)[0], packet[9]
        self.source, self.target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        self._transport(packet[header : self.size])

    def _ipv6(self, packet):
        self.size, self.protocol = struct.unpack_from("!H", packet, 4)[0] + 40, packet[6]
        self.source = socket.inet_ntop(socket.AF_INET6, packet[8:24])
        self.target = socket.inet_ntop(socket.AF_INET6, packet[24:40])
        self._transport(packet[40 : self.size])

    def _transport(self, segment):
        if self.protocol in (6, 17) and len(segment) >= 8:
            self.ports = struct.unpack_from("!HH", segment)
        if self.protocol == 6 and len(segment) >= 20:
            self.seq, self.flags = struct.unpack_from("!I", segment, 4)[0], segment[13]
            self.payload = len(segment) - (segment[12] >> 4) * 4

    @property
    def port(self):
        """The server's."""
        return self.ports and self.ports[self.way == TO_SERVER]

    @property
    def conversation(self):
        return (self.source, self.target, self.ports) if self.way == TO_SERVER else (self.target, self.source, self.ports[::-1])
