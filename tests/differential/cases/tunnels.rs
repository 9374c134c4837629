//! Upgrades and CONNECT.

use super::{Answer, Case, Do, message, request};

pub fn cases() -> Vec<Case> {
    let accepted = || {
        Answer::Tunnel(message(
            "HTTP/1.1 101 Switching Protocols\nupgrade: websocket\nconnection: Upgrade\nx-a: 1",
            "",
        ))
    };
    let websocket = "connection: Upgrade\nupgrade: websocket\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-version: 13";
    let ask = |target: &str| request("GET", target, websocket);
    vec![
        Case::new("websocket", "upgrades", ask("/chat?x"))
            .answer(accepted())
            .then(Do::Response("GET"))
            .send("hello")
            .then(Do::Until("HELLO"))
            .send("bye")
            .then(Do::Until("BYE"))
            .then(Do::HalfClose)
            .then(Do::End)
            .differs("each half of a tunnel ends for itself"),
        Case::new("websocket with early data", "upgrades", [ask("/"), b"early".to_vec()].concat())
            .answer(accepted())
            .then(Do::Response("GET"))
            .then(Do::Until("EARLY"))
            .send("bye")
            .then(Do::Until("BYE"))
            .then(Do::HalfClose)
            .then(Do::End)
            .differs("each half of a tunnel ends for itself"),
        Case::new("websocket refused by the upstream", "upgrades", ask("/"))
            .replied(super::reply("403 Forbidden", "", "no"))
            .then(Do::Response("GET"))
            .then(Do::End)
            .differs("a refused upgrade is an ordinary response: docs/differences.md"),
        Case::new("websocket not configured", "plain", ask("/")).closed(),
        Case::new(
            "websocket not configured, and no route",
            "plain",
            request("GET", "/", &format!("Host: empty.example\n{websocket}")),
        )
        .closed(),
        Case::new("websocket off for a route", "upgrades", ask("/u/no")).closed(),
        Case::new(
            "an upgrade for a route",
            "upgrades",
            request("GET", "/u/yes", "connection: upgrade\nupgrade: foo"),
        )
        .answer(Answer::Tunnel(message(
            "HTTP/1.1 101 Switching Protocols\nupgrade: foo\nconnection: upgrade",
            "",
        )))
        .then(Do::Response("GET"))
        .send("bye")
        .then(Do::Until("BYE"))
        .then(Do::HalfClose)
        .then(Do::End)
        .differs("each half of a tunnel ends for itself"),
        Case::new(
            "an upgrade that is switched off",
            "upgrades",
            request("GET", "/", "connection: upgrade\nupgrade: foo"),
        )
        .closed(),
        Case::new(
            "an upgrade that is ignored",
            "upgrades",
            request("GET", "/", "connection: upgrade\nupgrade: ignored"),
        )
        .kept(),
        Case::new(
            "websocket in capitals",
            "upgrades",
            request("GET", "/", "Connection: keep-alive, UPGRADE\nUpgrade: WebSocket"),
        )
        .answer(accepted())
        .then(Do::Response("GET"))
        .send("bye")
        .then(Do::Until("BYE"))
        .then(Do::HalfClose)
        .then(Do::End)
        .differs("each half of a tunnel ends for itself"),
        Case::new("websocket to no healthy upstream", "upgrades", ask("/c/none")).kept(),
        Case::new(
            "websocket to no route",
            "upgrades",
            request("GET", "/", &format!("Host: empty.example\n{websocket}")),
        )
        .kept(),
        Case::new(
            "CONNECT is not configured",
            "plain",
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
        )
        .closed(),
        Case::new(
            "CONNECT that would be gRPC",
            "plain",
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\ncontent-type: application/grpc\r\n\r\n",
        )
        .closed(),
        Case::new("CONNECT", "upgrades", "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n")
            .answer(Answer::Tunnel(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()))
            .then(Do::Until("\r\n\r\n"))
            .send("bye")
            .then(Do::Until("BYE"))
            .then(Do::HalfClose)
            .then(Do::End)
            .differs("each half of a tunnel ends for itself"),
        Case::new(
            "CONNECT refused by the upstream",
            "upgrades",
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
        )
        .replied(super::reply("403 Forbidden", "", "no"))
        .then(Do::Response("GET"))
        .then(Do::End)
        .differs("the upstream connection is used again"),
    ]
}
