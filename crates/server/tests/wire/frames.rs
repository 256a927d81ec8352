//! HTTP/2, frame by frame.

/// What a client begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Kinds of frames: [RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
/// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// The reason for an end that means a client which does too much.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0x0b;

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET <path>` by the static table of HPACK, and the host as it is.
pub(crate) fn get(path: &str) -> Vec<u8> {
    request(0x82, path)
}

/// `POST <path>` in the same way.
pub(crate) fn post(path: &str) -> Vec<u8> {
    request(0x83, path)
}

/// `PATCH <path>`, the method as it is.
pub(crate) fn patch(path: &str) -> Vec<u8> {
    let mut block = vec![0x02, 5];
    block.extend(b"PATCH");
    block.extend(&request(0, path)[1..]);
    block
}

fn request(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x41, 1, b'x']);
    block
}

/// The frames of what a server sent, as far as they are whole: kind, stream and payload.
pub(crate) fn frames(mut raw: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while let [a, b, c, kind, _, s0, s1, s2, s3, rest @ ..] = raw {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if rest.len() < length {
            break;
        }
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        found.push((*kind, stream, rest[..length].to_vec()));
        raw = &rest[length..];
    }
    found
}

/// Why a server ended a connection, if it said so.
pub(crate) fn goaway(raw: &[u8]) -> Option<u32> {
    let last = frames(raw).into_iter().rfind(|it| it.0 == GOAWAY)?;
    Some(u32::from_be_bytes(last.2[4..8].try_into().unwrap()))
}
