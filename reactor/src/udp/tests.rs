//! Datagrams through the kernel's loopback.

use super::*;

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";

fn bound(address: &str, options: &BindOptions) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address.parse().expect("an address"), &ListenOptions::default(), options)
        .expect("bound");
    let address = socket.local_address().expect("bound");
    (socket, address)
}

fn connected(address: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::connect(address, &UdpConnectOptions::default()).expect("connected");
    let address = socket.local_address().expect("bound");
    (socket, address)
}

/// Everything that waits on a socket: bytes, sender, notes.
fn all(
    socket: &UdpSocket,
    inbox: &mut Inbox,
    slot: usize,
    most: usize,
) -> Vec<(Vec<u8>, Option<SocketAddr>, Notes)> {
    let mut room = vec![0; slot * most];
    let mut got = Vec::new();
    loop {
        let n = match inbox.receive(socket, &mut room, (slot, most), true) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return got,
            Err(error) => panic!("{error}"),
        };
        got.extend((0..n).map(|at| (room[inbox.range(at)].to_vec(), inbox.peer(at), inbox.notes(at))));
        if n < most {
            return got;
        }
    }
}

#[test]
fn a_batch_keeps_bytes_senders_and_order() {
    for address in [V4, V6] {
        let (server, address) = bound(address, &BindOptions::default());
        let (one, from_one) = connected(address);
        let (two, from_two) = connected(address);
        let mut inbox = Inbox::new(3);
        // The same memory again and again, fuller and emptier.
        for _ in 0..3 {
            for (socket, text) in [(&one, "a"), (&two, ""), (&one, "ccc"), (&two, "dd")] {
                socket.send(text.as_bytes()).expect("sent");
            }
            let got = all(&server, &mut inbox, 16, 3);
            let wanted = [("a", from_one), ("", from_two), ("ccc", from_one), ("dd", from_two)]
                .map(|(text, from)| (text.as_bytes().to_vec(), Some(from), Notes::default()));
            assert_eq!(got, wanted);
        }
        let mut outbox = Outbox::new(2);
        let letters = [(from_one, &b"x"[..]), (from_two, b"yy"), (from_one, b"zzz")]
            .map(|(to, data)| Datagram { data, to: Some(to), from: None, segment: 0 });
        let mut left = &letters[..];
        while !left.is_empty() {
            let n = outbox.send(&server, left.iter().copied()).expect("sent");
            left = &left[n..];
        }
        let mut inbox = Inbox::connected(2);
        let texts = |got: Vec<(Vec<u8>, Option<SocketAddr>, Notes)>| {
            got.into_iter().map(|(data, ..)| data).collect::<Vec<_>>()
        };
        assert_eq!(texts(all(&one, &mut inbox, 8, 2)), [b"x".to_vec(), b"zzz".to_vec()]);
        assert_eq!(texts(all(&two, &mut inbox, 8, 2)), [b"yy".to_vec()]);
    }
}

#[test]
fn what_does_not_fit_is_cut_and_said_to_be() {
    let (server, address) = bound(V4, &BindOptions::default());
    let (client, _) = connected(address);
    for length in [7, 8, 9, 65507] {
        client.send(&vec![1; length]).expect("sent");
        let (mut inbox, mut room) = (Inbox::new(2), [0; 16]);
        assert_eq!(inbox.receive(&server, &mut room, (8, 2), length % 2 == 0).expect("there"), 1);
        assert_eq!((inbox.range(0).len(), inbox.is_truncated(0)), (length.min(8), length > 8));
    }
}

#[test]
fn the_address_that_a_client_has_sent_to_is_the_one_that_answers() {
    let (server, address) = bound("0.0.0.0:0", &BindOptions { local: true, ..BindOptions::default() });
    for local in ["127.0.0.1", "127.7.7.7"] {
        let local: IpAddr = local.parse().expect("an address");
        let (client, from) = connected(SocketAddr::new(local, address.port()));
        client.send(b"hello").expect("sent");
        let got = all(&server, &mut Inbox::new(4), 16, 4);
        assert_eq!(got, [(b"hello".to_vec(), Some(from), Notes { local: Some(local), segment: 0 })]);
        let answer = Datagram { data: b"there", to: Some(from), from: Some(local), segment: 0 };
        assert_eq!(Outbox::new(1).send(&server, [answer].into_iter()).expect("sent"), 1);
        // A connected socket takes nothing from another address.
        assert_eq!(all(&client, &mut Inbox::connected(2), 16, 2)[0].0, b"there");
    }
    let (server, address) = bound("[::]:0", &BindOptions { local: true, ..BindOptions::default() });
    let local: IpAddr = "::1".parse().expect("an address");
    let (client, from) = connected(SocketAddr::new(local, address.port()));
    client.send(b"hello").expect("sent");
    assert_eq!(all(&server, &mut Inbox::new(4), 16, 4)[0].2.local, Some(local));
    let answer = Datagram { data: b"there", to: Some(from), from: Some(local), segment: 0 };
    assert_eq!(Outbox::new(1).send(&server, [answer].into_iter()).expect("sent"), 1);
    assert_eq!(all(&client, &mut Inbox::connected(2), 16, 2)[0].0, b"there");
}

#[test]
fn segments_arrive_as_datagrams_or_as_one_piece() {
    let data: Vec<u8> = (0..=250).cycle().take(2500).collect();
    let wanted: Vec<_> = data.chunks(1000).map(<[u8]>::to_vec).collect();
    let (plain, to_plain) = bound(V4, &BindOptions::default());
    let (pieces, to_pieces) = bound(V4, &BindOptions { segments: true, ..BindOptions::default() });
    for address in [to_plain, to_pieces] {
        let (client, _) = connected(address);
        let scattered =
            [IoSlice::new(&data[..1000]), IoSlice::new(&data[1000..1500]), IoSlice::new(&data[1500..])];
        if let Err(error) = client.send_pieces(&scattered, 1000) {
            println!("skipped: this kernel does not send segments: {error}");
            return;
        }
        let (unbound, _) = bound(V4, &BindOptions::default());
        let letter = Datagram { data: &data, to: Some(address), from: None, segment: 1000 };
        assert_eq!(Outbox::new(1).send(&unbound, [letter].into_iter()).expect("sent"), 1);
    }
    let got: Vec<_> = all(&plain, &mut Inbox::new(9), 2000, 9).into_iter().map(|(data, ..)| data).collect();
    assert_eq!(got, [wanted.clone(), wanted.clone()].concat());
    let mut got = Vec::new();
    for (data, _, notes) in all(&pieces, &mut Inbox::new(9), 1 << 16, 9) {
        let size = if notes.segment == 0 { data.len() } else { notes.segment };
        got.extend(data.chunks(size).map(<[u8]>::to_vec));
    }
    assert_eq!(got, [wanted.clone(), wanted].concat());
}

#[test]
fn nobody_there_is_an_error_once() {
    let (socket, nobody) = bound(V4, &BindOptions::default());
    drop(socket);
    let (client, _) = connected(nobody);
    client.send(b"a").expect("the first one is on its way");
    let error = client.send(b"b").expect_err("it came back");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    client.send(b"c").expect("the error was told");
    let error = Inbox::connected(1).receive(&client, &mut [0; 8], (8, 1), false).expect_err("again");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_failing_datagram_stops_the_batch_before_it() {
    let (server, _) = bound(V4, &BindOptions::default());
    let (receiver, to) = bound(V4, &BindOptions::default());
    let too_long = vec![0; 70_000];
    let letter = |data| Datagram { data, to: Some(to), from: None, segment: 0 };
    let letters = [letter(b"a"), letter(&too_long), letter(b"c")];
    let mut outbox = Outbox::new(8);
    assert_eq!(outbox.send(&server, letters.into_iter()).expect("the first one went"), 1);
    let error = outbox.send(&server, letters[1..].iter().copied()).expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(outbox.send(&server, letters[2..].iter().copied()).expect("sent"), 1);
    assert_eq!(all(&receiver, &mut Inbox::new(4), 8, 4).len(), 2);
}

#[test]
fn the_kernel_counts_what_it_loses() {
    let (server, address) = bound(V4, &BindOptions::default());
    assert_eq!(server.lost().expect("it tells"), 0);
    socket2::SockRef::from(&server.0).set_recv_buffer_size(4096).expect("an option");
    let (client, _) = connected(address);
    for _ in 0..100 {
        client.send(&[0; 512]).expect("sent");
    }
    let kept = all(&server, &mut Inbox::new(100), 512, 100).len();
    assert!(kept < 100);
    assert_eq!(server.lost().expect("it tells"), 100 - kept as u32);
}

#[test]
fn clients_stay_with_one_of_several_sockets() {
    let any: SocketAddr = V4.parse().expect("an address");
    let bind = |address, reuse_port| {
        let general = ListenOptions { reuse_port, ..ListenOptions::default() };
        UdpSocket::bind(address, &general, &BindOptions::default())
    };
    let first = bind(any, true).expect("bound");
    let address = first.local_address().expect("bound");
    let second = bind(address, true).expect("a second one");
    bind(address, false).expect_err("not without the option");
    let clients: Vec<_> = (0..64).map(|_| connected(address)).collect();
    let mut homes = Vec::new();
    for _ in 0..3 {
        for (client, _) in &clients {
            client.send(b"x").expect("sent");
        }
        let mut home: Vec<_> =
            all(&first, &mut Inbox::new(8), 8, 8).into_iter().map(|(_, peer, _)| peer).collect();
        assert_eq!(home.len() + all(&second, &mut Inbox::new(8), 8, 8).len(), 64);
        home.sort();
        homes.push(home);
    }
    assert!(homes.iter().all(|home| *home == homes[0]), "no client moves");
    assert!((1..64).contains(&homes[0].len()), "both get some");
}

#[test]
fn both_versions_of_ip_come_to_a_socket_for_both() {
    let general = ListenOptions { dual: true, ..ListenOptions::default() };
    let options = BindOptions { local: true, ..BindOptions::default() };
    let server = UdpSocket::bind("[::]:0".parse().expect("an address"), &general, &options).expect("bound");
    let port = server.local_address().expect("bound").port();
    for (to, mapped) in [("127.0.0.7", "::ffff:127.0.0.7"), ("::1", "::1")] {
        let (client, _) = connected(SocketAddr::new(to.parse().expect("an address"), port));
        client.send(b"hello").expect("sent");
        let (_, peer, notes) = all(&server, &mut Inbox::new(4), 16, 4).remove(0);
        assert_eq!(notes.local, Some(mapped.parse().expect("an address")));
        let answer = Datagram { data: b"there", to: peer, from: notes.local, segment: 0 };
        assert_eq!(Outbox::new(1).send(&server, [answer].into_iter()).expect("sent"), 1);
        assert_eq!(all(&client, &mut Inbox::connected(2), 16, 2)[0].0, b"there", "{to}");
    }
}

#[test]
fn options_by_number_are_set() {
    let raw = |value: i32, moment| crate::RawOption {
        level: libc::SOL_SOCKET,
        name: libc::SO_RCVBUF,
        value: value.to_ne_bytes().as_slice().into(),
        moment,
    };
    for moment in [Moment::BeforeBind, Moment::AfterBind, Moment::AfterListen] {
        let general = ListenOptions { raw: vec![raw(9999, moment)], ..ListenOptions::default() };
        let socket = UdpSocket::bind(V4.parse().expect("an address"), &general, &BindOptions::default());
        let socket = socket.expect("bound");
        // The kernel doubles it.
        assert_eq!(socket2::SockRef::from(&socket.0).recv_buffer_size().expect("an option"), 2 * 9999);
    }
}
