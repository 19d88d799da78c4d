//! Frames of HTTP/2 (RFC 9113), with field sections that use no table.

/// What a client begins with: the preface and its settings.
pub fn client_begin() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings()].concat()
}

/// Settings: at most 100 streams at a time.
pub fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A field section: literals without indexing (RFC 7541 section 6.2.2), shorter than 127 octets each.
pub fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat()).collect()
}

/// HEADERS with a whole field section.
pub fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, 4 | u8::from(end), stream, &section(fields))
}

/// DATA.
pub fn data(stream: u32, end: bool, body: &[u8]) -> Vec<u8> {
    frame(0, u8::from(end), stream, body)
}

/// RST_STREAM.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

/// GOAWAY.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A call of gRPC: the request, whole.
pub fn call(stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "api.shop.example"),
        ("content-type", "application/grpc"),
    ];
    [headers(stream, false, &fields), data(stream, true, &[0, 0, 0, 0, 3, 8, 1, 16])].concat()
}

/// Its answer: a message when it succeeds, and the trailers.
pub fn reply(stream: u32, grpc_status: &str) -> Vec<u8> {
    let begin = [(":status", "200"), ("content-type", "application/grpc"), ("server", "shop")];
    if grpc_status != "0" {
        return headers(stream, true, &[&begin[..], &[("grpc-status", grpc_status)]].concat());
    }
    let body = data(stream, false, &[0, 0, 0, 0, 2, 8, 1]);
    [headers(stream, false, &begin), body, headers(stream, true, &[("grpc-status", grpc_status)])].concat()
}
