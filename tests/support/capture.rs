//! Packets in recorded order, and the files they are written to.

/// When every capture starts: 2026-11-10 10:00 UTC, inside the validity of the certificates.
pub const EPOCH: u64 = 1_794_304_800;

/// One recorded packet.
#[derive(Clone)]
pub struct Packet {
    /// Microseconds since the start of the capture.
    pub micros: u64,
    /// Bytes as they were on the wire.
    pub frame: Vec<u8>,
}

impl Packet {
    /// Adds its pcap record to `file`, cut at `snaplen`.
    pub fn record(&self, file: &mut Vec<u8>, order: Order, nanos: bool, snaplen: u32) {
        let (seconds, micros) = (EPOCH + self.micros / 1_000_000, self.micros % 1_000_000);
        // Nanosecond files get a fraction that microseconds cannot hold.
        let fraction = if nanos { micros * 1_000 + 321 } else { micros };
        let kept = self.frame.len().min(snaplen as usize);
        for word in [seconds as u32, fraction as u32, kept as u32, self.frame.len() as u32] {
            file.extend(order.u32(word));
        }
        file.extend(&self.frame[..kept]);
    }

    /// Adds its enhanced packet block, of interface 0, to `file`.
    pub fn block(&self, file: &mut Vec<u8>, order: Order) {
        let mut body = order.u32(0).to_vec();
        body.extend(stamp(order, self.micros));
        body.extend(order.u32(self.frame.len() as u32));
        body.extend(order.u32(self.frame.len() as u32));
        body.extend(&self.frame);
        block(file, order, 6, &body);
    }
}

/// What a capture program wrote down.
#[derive(Clone, Default)]
pub struct Capture {
    pub packets: Vec<Packet>,
}

/// Byte order of a file.
#[derive(Clone, Copy, PartialEq)]
pub enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
    fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

impl Capture {
    /// Records a frame at `micros` since the start.
    pub fn record(&mut self, micros: u64, frame: Vec<u8>) {
        self.packets.push(Packet { micros, frame });
    }

    /// Puts the packets in time order; equal times keep the order they were recorded in.
    pub fn sort(&mut self) {
        self.packets.sort_by_key(|packet| packet.micros);
    }

    /// Time of the last packet.
    pub fn end(&self) -> u64 {
        self.packets.iter().map(|packet| packet.micros).max().unwrap_or(0)
    }

    /// The file most tools write: pcap, little-endian, microseconds, whole packets.
    pub fn pcap(&self) -> Vec<u8> {
        self.pcap_as(Order::Little, false, 262_144)
    }

    /// A pcap file of any flavour, packets cut at `snaplen`.
    pub fn pcap_as(&self, order: Order, nanos: bool, snaplen: u32) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(order.u32(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
        file.extend(order.u16(2));
        file.extend(order.u16(4));
        for word in [0, 0, snaplen, 1] {
            file.extend(order.u32(word));
        }
        for packet in &self.packets {
            packet.record(&mut file, order, nanos, snaplen);
        }
        file
    }

    /// A pcapng file with one interface. `dropped` goes into an interface statistics block at the end.
    pub fn pcapng(&self, order: Order, dropped: Option<u64>) -> Vec<u8> {
        let mut file = Vec::new();
        let mut section = order.u32(0x1a2b_3c4d).to_vec();
        section.extend(order.u16(1));
        section.extend(order.u16(0));
        section.extend([0xff; 8]);
        block(&mut file, order, 0x0a0d_0d0a, &section);
        let mut interface = order.u16(1).to_vec();
        interface.extend(order.u16(0));
        interface.extend(order.u32(262_144));
        option(&mut interface, order, 2, b"eth0");
        option(&mut interface, order, 9, &[9]);
        option(&mut interface, order, 0, b"");
        block(&mut file, order, 1, &interface);
        for packet in &self.packets {
            packet.block(&mut file, order);
        }
        if let Some(dropped) = dropped {
            let mut body = order.u32(0).to_vec();
            body.extend(stamp(order, self.end()));
            let wide = |value: u64| match order {
                Order::Little => value.to_le_bytes(),
                Order::Big => value.to_be_bytes(),
            };
            option(&mut body, order, 4, &wide(self.packets.len() as u64 + dropped));
            option(&mut body, order, 5, &wide(dropped));
            option(&mut body, order, 0, b"");
            block(&mut file, order, 5, &body);
        }
        file
    }
}

fn stamp(order: Order, micros: u64) -> Vec<u8> {
    let nanos = EPOCH * 1_000_000_000 + micros * 1_000;
    [order.u32((nanos >> 32) as u32), order.u32(nanos as u32)].concat()
}

fn option(body: &mut Vec<u8>, order: Order, code: u16, value: &[u8]) {
    body.extend(order.u16(code));
    body.extend(order.u16(value.len() as u16));
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(file: &mut Vec<u8>, order: Order, kind: u32, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    let length = order.u32(padded as u32 + 12);
    file.extend(order.u32(kind));
    file.extend(length);
    file.extend(body);
    file.resize(file.len() + padded - body.len(), 0);
    file.extend(length);
}
