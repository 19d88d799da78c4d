//! Builds small captures for tests, byte by byte.

/// A pcap file in the making.
pub(super) struct Pcap {
    pub(super) bytes: Vec<u8>,
    big_endian: bool,
    /// What stands behind the four words of a record header.
    more: &'static [u8],
}

fn put32(bytes: &mut Vec<u8>, big_endian: bool, value: u32) {
    bytes.extend(if big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
}

fn put16(bytes: &mut Vec<u8>, big_endian: bool, value: u16) {
    bytes.extend(if big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
}

impl Pcap {
    /// Ethernet, snapshot length 65535.
    pub(super) fn new(magic: u32, big_endian: bool) -> Self {
        let mut bytes = Vec::new();
        put32(&mut bytes, big_endian, magic);
        put16(&mut bytes, big_endian, 2);
        put16(&mut bytes, big_endian, 4);
        for word in [0, 0, 65_535, 1] {
            put32(&mut bytes, big_endian, word);
        }
        let more: &[u8] = if magic == 0xa1b2_cd34 { &[0, 0, 0, 2, 8, 0, 0, 0] } else { &[] };
        Self { bytes, big_endian, more }
    }

    /// Records as Nokia's libpcap writes them.
    pub(super) fn of_nokia(self) -> Self {
        Self { more: &[0; 4], ..self }
    }

    /// Adds a record.
    pub(super) fn packet(mut self, seconds: u32, fraction: u32, data: &[u8], wire: u32) -> Self {
        for word in [seconds, fraction, data.len() as u32, wire] {
            put32(&mut self.bytes, self.big_endian, word);
        }
        self.bytes.extend(self.more);
        self.bytes.extend(data);
        self
    }

    /// Adds bytes as they are.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }
}

/// A pcapng file in the making.
pub(super) struct Pcapng {
    pub(super) bytes: Vec<u8>,
    big_endian: bool,
}

impl Pcapng {
    /// A file with its section header.
    pub(super) fn new(big_endian: bool) -> Self {
        Self { bytes: Vec::new(), big_endian }.section(big_endian)
    }

    /// Starts a section.
    pub(super) fn section(mut self, big_endian: bool) -> Self {
        self.big_endian = big_endian;
        let mut body = Vec::new();
        put32(&mut body, big_endian, 0x1a2b_3c4d);
        put16(&mut body, big_endian, 1);
        put16(&mut body, big_endian, 0);
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// Adds a block; the body is padded.
    pub(super) fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let total = (12 + body.len().next_multiple_of(4)) as u32;
        put32(&mut self.bytes, self.big_endian, kind);
        put32(&mut self.bytes, self.big_endian, total);
        self.bytes.extend(body);
        self.bytes.extend(vec![0; body.len().next_multiple_of(4) - body.len()]);
        put32(&mut self.bytes, self.big_endian, total);
        self
    }

    /// Adds an interface.
    pub(super) fn interface(self, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Self {
        let mut body = Vec::new();
        put16(&mut body, self.big_endian, link);
        put16(&mut body, self.big_endian, 0);
        put32(&mut body, self.big_endian, snap);
        self.options(&mut body, options);
        self.block(1, &body)
    }

    /// Adds an enhanced packet block.
    pub(super) fn packet(self, interface: u32, ticks: u64, data: &[u8], wire: u32) -> Self {
        self.packet_with(interface, ticks, data, wire, &[])
    }

    /// Adds an enhanced packet block with options.
    pub(super) fn packet_with(
        self,
        interface: u32,
        ticks: u64,
        data: &[u8],
        wire: u32,
        options: &[(u16, &[u8])],
    ) -> Self {
        let mut body = Vec::new();
        for word in [interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire] {
            put32(&mut body, self.big_endian, word);
        }
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        self.options(&mut body, options);
        self.block(6, &body)
    }

    /// Adds a simple packet block.
    pub(super) fn simple(self, wire: u32, data: &[u8]) -> Self {
        let mut body = Vec::new();
        put32(&mut body, self.big_endian, wire);
        body.extend(data);
        self.block(3, &body)
    }

    /// Adds interface statistics.
    pub(super) fn statistics(self, interface: u32, counters: &[(u16, u64)]) -> Self {
        let mut body = Vec::new();
        for word in [interface, 0, 0] {
            put32(&mut body, self.big_endian, word);
        }
        let values: Vec<(u16, [u8; 8])> =
            counters.iter().map(|(code, value)| (*code, self.u64(*value))).collect();
        let options: Vec<(u16, &[u8])> = values.iter().map(|(code, value)| (*code, &value[..])).collect();
        self.options(&mut body, &options);
        self.block(5, &body)
    }

    /// A 64-bit integer in the byte order of the section.
    pub(super) fn u64(&self, value: u64) -> [u8; 8] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// Adds bytes as they are.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    fn options(&self, body: &mut Vec<u8>, options: &[(u16, &[u8])]) {
        for (code, value) in options {
            put16(body, self.big_endian, *code);
            put16(body, self.big_endian, value.len() as u16);
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
    }
}
