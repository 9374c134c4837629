//! HTTP messages over HTTP/2: what is taken, what is refused and how, what is written.

mod h2_support;

use h2_support::*;
use nuncio_codec::h2::Settings;

#[test]
fn a_request_and_its_answer() {
    let mut rig = ServerRig::server(Settings::default());
    assert_eq!(rig.feed(&get(1)), ["1 [:method=GET] [:scheme=http] [:authority=a] [:path=/] end"]);
    let id = id(&rig, 1);
    rig.codec.send_headers(id, &response(200, &[("content-length", "2")]), false, &mut rig.out);
    rig.codec.send_data(id, &mut nuncio_codec::Buffer::from(&b"ok"[..]), true, &mut rig.out);
    assert_eq!(rig.written(), ["HEADERS 1 [:status=200] [content-length=2]", "DATA 1 ok end"]);
    assert_eq!(rig.codec.live(), 0);
}
