//! `local_reply_config`: how an operator changes the responses that the proxy itself makes.
//!
//! The first mapper whose filter matches gives the response another status, body, format and headers; the format then
//! writes the body. What is left out leaves the response as it is.

use super::local_reply::LocalReply;
use crate::access_log::{self, Filter};
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::{
    LocalReplyConfig, ResponseMapper,
};
use crate::config::{Cx, data};
use crate::formatter::compile::{BodyFormat, substitution};
use crate::router::HeaderOps;
use crate::stream_info::StreamInfo;
use nuncio_codec::HeaderId;

/// `LocalReplyConfig`.
#[derive(Debug, Default)]
pub struct ReplyRules {
    mappers: Vec<Mapper>,
    format: Option<BodyFormat>,
}

/// `ResponseMapper`.
#[derive(Debug)]
struct Mapper {
    filter: Filter,
    status: Option<u16>,
    body: Option<Box<[u8]>>,
    format: Option<BodyFormat>,
    headers: HeaderOps,
}

impl ReplyRules {
    /// Compiles the rules; with an error in them they are of no use, and nothing will run.
    pub(super) fn compile(proto: &LocalReplyConfig, cx: &mut Cx<'_>) -> Self {
        Self {
            mappers: cx.each("mappers", &proto.mappers, |cx, mapper| self::mapper(mapper, cx)),
            format: proto
                .body_format
                .as_ref()
                .and_then(|format| cx.field("body_format", |cx| substitution(format, cx))),
        }
    }

    /// Changes a response; `info` is what is known about its stream, but for the response itself.
    pub(super) fn apply(&self, reply: &mut LocalReply, info: &StreamInfo<'_>) {
        let before = reply.body.to_vec();
        let type_before = reply.head.headers.get(HeaderId::CONTENT_TYPE).map(<[u8]>::to_vec);
        let mapper = self.mappers.iter().find(|mapper| {
            let info = StreamInfo { response: Some(&reply.head), ..info.clone() };
            mapper.filter.accepts(&info)
        });
        let mut body = before.clone();
        if let Some(mapper) = mapper {
            if let Some(own) = &mapper.body {
                body = own.to_vec();
            }
            mapper.headers.apply_to_response(&mut reply.head, info);
            if let Some(status) = mapper.status {
                reply.head.status = status;
            }
        }
        if let Some(format) = mapper.and_then(|mapper| mapper.format.as_ref()).or(self.format.as_ref()) {
            let info = StreamInfo { response: Some(&reply.head), local_reply_body: &body, ..info.clone() };
            let mut formatted = Vec::new();
            format.write(&info, &mut formatted);
            reply.content_type = format.content_type().into();
            body = formatted;
        }
        if body != before {
            // A type that a mapper has set is meant for the new body; any other was the old one's.
            let retyped = reply.head.headers.get(HeaderId::CONTENT_TYPE) != type_before.as_deref();
            if !retyped {
                reply.head.headers.remove(HeaderId::CONTENT_TYPE);
            }
            reply.body.clear();
            reply.body.append(&body);
        }
    }
}

fn mapper(proto: &ResponseMapper, cx: &mut Cx<'_>) -> Option<Mapper> {
    let filter = cx.required("filter", &proto.filter)?;
    let filter = cx.field("filter", |cx| access_log::compile::filter(filter, cx));
    let status = proto.status_code.map(|status| {
        if !(200..600).contains(&status) {
            cx.error_at("status_code", format!("{status} is out of range: 200 to 599"));
        }
        status as u16
    });
    let body = proto.body.as_ref().map(|body| cx.field("body", |cx| data(body, cx)));
    let format = proto
        .body_format_override
        .as_ref()
        .map(|format| cx.field("body_format_override", |cx| substitution(format, cx)));
    let headers = HeaderOps::compile((&proto.headers_to_add, &[]), ("headers_to_add", ""), cx);
    Some(Mapper {
        filter: filter?,
        status,
        body: body.flatten().map(Vec::into_boxed_slice),
        format: format.flatten(),
        headers,
    })
}
