//! The inputs of the fuzz targets as bytes: the targets read them, `examples/seeds.rs` writes them.
//!
//! Every run of bytes is an input, so that what the fuzzer changes is read and not refused.

/// A run of bytes that one side of a connection sent, and how many were lost behind it.
pub struct Piece<'b> {
    pub to_server: bool,
    pub lost: u8,
    pub bytes: &'b [u8],
}

/// Pieces follow each other: direction, bytes lost, length in two octets, bytes.
pub fn pieces(mut input: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let ([direction, lost, high, low], rest) = input.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (bytes, behind) = rest.split_at(length.min(rest.len()));
        input = behind;
        Some(Piece { to_server: direction & 1 == 0, lost: *lost, bytes })
    })
}

impl Piece<'_> {
    /// Adds it to an input; of more than 64 KiB the first.
    pub fn write(&self, input: &mut Vec<u8>) {
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        input.extend([u8::from(!self.to_server), self.lost]);
        input.extend(length.to_be_bytes());
        input.extend(&self.bytes[..usize::from(length)]);
    }
}

/// A TCP segment, and how long the one before it was ago, in nanoseconds.
pub struct Segment {
    pub to_server: bool,
    pub flags: u8,
    pub length: u8,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub wait: u32,
}

/// Segments follow each other, 17 octets each.
pub fn segments(mut input: &[u8]) -> impl Iterator<Item = Segment> {
    fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
        let (taken, rest) = input.split_first_chunk::<N>()?;
        *input = rest;
        Some(*taken)
    }
    std::iter::from_fn(move || {
        let [direction, flags, length] = take(&mut input)?;
        Some(Segment {
            to_server: direction & 1 == 0,
            flags,
            length,
            seq: u32::from_be_bytes(take(&mut input)?),
            ack: u32::from_be_bytes(take(&mut input)?),
            window: u16::from_be_bytes(take(&mut input)?),
            wait: u32::from_be_bytes(take(&mut input)?),
        })
    })
}

impl Segment {
    /// Adds it to an input.
    pub fn write(&self, input: &mut Vec<u8>) {
        input.extend([u8::from(!self.to_server), self.flags, self.length]);
        input.extend(self.seq.to_be_bytes());
        input.extend(self.ack.to_be_bytes());
        input.extend(self.window.to_be_bytes());
        input.extend(self.wait.to_be_bytes());
    }
}

/// A frame: link type, length on the wire, bytes.
pub fn frame(input: &[u8]) -> Option<(u16, u32, &[u8])> {
    let (link_type, rest) = input.split_first_chunk()?;
    let (wire, bytes) = rest.split_first_chunk()?;
    Some((u16::from_be_bytes(*link_type), u32::from_be_bytes(*wire), bytes))
}

/// A frame as an input.
pub fn write_frame(link_type: u16, wire: u32, bytes: &[u8]) -> Vec<u8> {
    [&link_type.to_be_bytes()[..], &wire.to_be_bytes(), bytes].concat()
}
