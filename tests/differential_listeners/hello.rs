//! Client hellos of TLS 1.2, as bytes.

fn list16(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &list16(content)].concat()
}

/// The message, with these names.
fn message(name: Option<&str>, protocols: &[&str], padding: usize) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        extensions.extend(extension(0, &list16(&[&[0][..], &list16(name.as_bytes())].concat())));
    }
    extensions.extend(extension(0x2a2a, b""));
    extensions.extend(extension(10, &list16(&[0x1a, 0x1a, 0, 0x1d, 0, 0x17])));
    extensions.extend(extension(11, &[1, 0]));
    if !protocols.is_empty() {
        let list: Vec<_> =
            protocols.iter().flat_map(|name| [&[name.len() as u8][..], name.as_bytes()].concat()).collect();
        extensions.extend(extension(16, &list16(&list)));
    }
    extensions.extend(extension(13, &list16(&[4, 3, 8, 4, 4, 1])));
    if padding > 0 {
        extensions.extend(extension(21, &vec![0; padding]));
    }
    let ciphers = [0x3a, 0x3a, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa8, 0, 0x2f];
    let body = [&[3, 3][..], &[7; 32], &[0], &list16(&ciphers), &[1, 0], &list16(&extensions)].concat();
    let length = (body.len() as u32).to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

/// A hello in records of at most `most` bytes.
pub fn hello(name: Option<&str>, protocols: &[&str], padding: usize, most: usize) -> Vec<u8> {
    let message = message(name, protocols, padding);
    message.chunks(most).flat_map(|part| [&[22, 3, 1], &list16(part)[..]].concat()).collect()
}
