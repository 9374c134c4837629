//! The two ends of a connection.

use super::Connection;
use super::message::Fields;
use crate::{RequestHead, ResponseHead, Version};
use std::fmt;

/// Which end of a connection a codec is: [`ServerSide`] or [`ClientSide`].
pub trait Side: sealed::Sealed + fmt::Debug {
    /// The head of the messages that come in.
    type Head: fmt::Debug;
    #[doc(hidden)]
    const SERVER: bool;
    #[doc(hidden)]
    fn head(fields: Fields) -> Self::Head;
}

mod sealed {
    pub trait Sealed {}
}

/// Requests come in, responses go out.
#[derive(Debug)]
pub struct ServerSide;
/// Requests go out, responses come in.
#[derive(Debug)]
pub struct ClientSide;

/// Codec of one downstream connection.
pub type Server = Connection<ServerSide>;
/// Codec of one upstream connection.
pub type Client = Connection<ClientSide>;

impl sealed::Sealed for ServerSide {}

impl Side for ServerSide {
    type Head = RequestHead;
    const SERVER: bool = true;

    fn head(fields: Fields) -> RequestHead {
        RequestHead { version: Version::H2, method: fields.method, headers: fields.headers }
    }
}

impl sealed::Sealed for ClientSide {}

impl Side for ClientSide {
    type Head = ResponseHead;
    const SERVER: bool = false;

    fn head(fields: Fields) -> ResponseHead {
        ResponseHead { version: Version::H2, status: fields.status, headers: fields.headers }
    }
}
