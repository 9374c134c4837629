//! The client hello itself (RFC 8446, 4.1.2).

/// Numbers of extensions.
pub(super) mod extension {
    pub(in super::super) const SERVER_NAME: u16 = 0;
    pub(in super::super) const STATUS_REQUEST: u16 = 5;
    pub(in super::super) const SUPPORTED_GROUPS: u16 = 10;
    pub(in super::super) const EC_POINT_FORMATS: u16 = 11;
    pub(in super::super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(in super::super) const ALPN: u16 = 16;
    pub(in super::super) const SUPPORTED_VERSIONS: u16 = 43;
}

/// TLS 1.0, the lowest version there is.
const TLS_1_0: u16 = 0x0301;
/// Longest name of a host.
const MAX_NAME: usize = 255;

/// A view of a client hello whose lists have the form of lists.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub(super) version: u16,
    /// Two bytes each.
    pub(super) ciphers: &'a [u8],
    pub(super) extensions: &'a [u8],
    server_name: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Reads the body of the message; `None` if it has not the form of one, or offers no version of TLS.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut body = Reader(body);
        let version = body.u16()?;
        body.take(32)?;
        let session = body.list8()?;
        let ciphers = body.list16()?;
        let compressions = body.list8()?;
        // Before there were extensions a hello could end here.
        let extensions = if body.0.is_empty() { &[] } else { body.list16()? };
        let whole = body.0.is_empty() && session.len() <= 32 && !compressions.is_empty();
        if !whole || ciphers.is_empty() || ciphers.len() % 2 != 0 || version >> 8 != 3 {
            return None;
        }
        let mut each = Extensions(Reader(extensions));
        each.by_ref().for_each(drop);
        if !each.0.0.is_empty() {
            return None;
        }
        let mut hello = Self { version, ciphers, extensions, server_name: &[] };
        if hello.highest_version().is_none_or(|highest| highest < TLS_1_0) {
            return None;
        }
        if let Some(list) = hello.extension(extension::SERVER_NAME) {
            hello.server_name = host_name(list)?;
        }
        Some(hello)
    }

    /// The host that the client wants; empty if it does not say.
    pub fn server_name(&self) -> &'a [u8] {
        self.server_name
    }

    /// The application protocols (ALPN) that the client offers, in its order; none if the list is malformed.
    pub fn protocols(&self) -> impl Iterator<Item = &'a [u8]> {
        let list = self.extension(extension::ALPN).and_then(protocol_list).unwrap_or_default();
        Protocols(Reader(list))
    }

    /// Whether the client wants to know from us that our certificate is not revoked (RFC 6066, 8).
    pub fn wants_status(&self) -> bool {
        self.extension(extension::STATUS_REQUEST).is_some()
    }

    /// The content of an extension.
    pub(super) fn extension(&self, number: u16) -> Option<&'a [u8]> {
        self.extensions().find(|(found, _)| *found == number).map(|(_, content)| content)
    }

    /// Number and content of each extension.
    pub(super) fn extensions(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        Extensions(Reader(self.extensions))
    }

    /// The highest version that is offered; `None` if the list is malformed or holds nothing that is known.
    pub fn highest_version(&self) -> Option<u16> {
        let Some(list) = self.extension(extension::SUPPORTED_VERSIONS) else { return Some(self.version) };
        let mut reader = Reader(list);
        let list = reader.list8().filter(|list| list.len() % 2 == 0 && reader.0.is_empty())?;
        numbers(list).filter(|version| version >> 8 == 3).max()
    }
}

/// The pairs of bytes of a list as numbers.
pub(super) fn numbers(list: &[u8]) -> impl Iterator<Item = u16> + Clone {
    list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The one host name of a list of server names (RFC 6066, 3).
fn host_name(list: &[u8]) -> Option<&[u8]> {
    const HOST_NAME: u8 = 0;
    let mut reader = Reader(list);
    let mut names = Reader(reader.list16()?);
    let kind = names.u8()?;
    let name = names.list16()?;
    let whole = reader.0.is_empty() && names.0.is_empty() && kind == HOST_NAME;
    (whole && (1..=MAX_NAME).contains(&name.len()) && !name.contains(&0)).then_some(name)
}

/// The list of ALPN, if all of it is as it should be (RFC 7301, 3.1).
fn protocol_list(content: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(content);
    let list = reader.list16().filter(|_| reader.0.is_empty())?;
    let mut names = Reader(list);
    while !names.0.is_empty() {
        names.list8().filter(|name| !name.is_empty())?;
    }
    Some(list)
}

struct Extensions<'a>(Reader<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = Reader(self.0.0);
        let item = (rest.u16()?, rest.list16()?);
        self.0 = rest;
        Some(item)
    }
}

struct Protocols<'a>(Reader<'a>);

impl<'a> Iterator for Protocols<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.0.list8()
    }
}

/// Takes things from the front of some bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Bytes behind their length in one byte.
    pub(super) fn list8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// Bytes behind their length in two bytes.
    pub(super) fn list16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}
