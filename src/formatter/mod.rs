//! Temporary.
use crate::stream_info::StreamInfo;
/// Format.
#[derive(Debug)]
pub struct Format(Box<[u8]>);
impl Format {
    /// Parse.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.as_bytes().into()))
    }
    /// Value.
    pub fn write_value(&self, _: &StreamInfo<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}
