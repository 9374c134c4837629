//! Mixed traffic with clients and upstreams that die at random. At the end nothing is left: no stream, no connection, no
//! file descriptor, and no more memory than after warming up; every complete answer was right.
//!
//! Runs for some seconds; `NUNCIO_SOAK_SECONDS=600 cargo test --release --test soak -- --nocapture` is the long one.
//! The seed is printed and can be given in `NUNCIO_SOAK_SEED`.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::{Proxy, config};

const CLIENTS: u64 = 12;

/// SplitMix64: small, seeded, good enough to choose misfortunes.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Few large, many small.
    fn size(&mut self) -> usize {
        match self.below(10) {
            0 => self.below(1_500_000) as usize,
            1..3 => self.below(100_000) as usize,
            _ => self.below(2_000) as usize,
        }
    }
}

/// The byte at each place of a body with this seed.
fn pattern(seed: u64, at: usize) -> u8 {
    (seed as usize).wrapping_mul(31).wrapping_add(at).wrapping_mul(7) as u8
}

fn body(seed: u64, size: usize) -> Vec<u8> {
    (0..size).map(|at| pattern(seed, at)).collect()
}

/// What happened, over all clients.
#[derive(Default)]
struct Tally {
    whole: AtomicU64,
    proxied_errors: AtomicU64,
    cut: AtomicU64,
    given_up: AtomicU64,
    tunnels: AtomicU64,
    wrong: AtomicUsize,
}

/// A connection that forgets nothing it has read.
struct Peer {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Peer {
    fn fill(&mut self) -> Option<usize> {
        let mut block = [0; 32_768];
        let n = self.stream.read(&mut block).ok().filter(|n| *n > 0)?;
        self.rest.extend_from_slice(&block[..n]);
        Some(n)
    }

    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            if let Some(at) = self.rest[from..].windows(mark.len()).position(|window| window == mark) {
                return Some(self.rest.drain(..from + at + mark.len()).collect());
            }
            from = self.rest.len().saturating_sub(mark.len());
            self.fill()?;
        }
    }

    fn exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.rest.len() < n {
            self.fill()?;
        }
        Some(self.rest.drain(..n).collect())
    }

    fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").map(|head| String::from_utf8_lossy(&head).to_lowercase())
    }

    /// A body as its head announces it.
    fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        if head.contains("transfer-encoding: chunked") {
            let mut body = Vec::new();
            loop {
                let line = String::from_utf8(self.until(b"\r\n")?).ok()?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                body.extend(self.exactly(size)?);
                self.exactly(2)?;
                if size == 0 {
                    return Some(body);
                }
            }
        }
        let length = number(head, "content-length: ").unwrap_or(0);
        self.exactly(length as usize)
    }

    /// Closes with a reset: whatever is under way is lost.
    fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    let rest = &text[text.find(name)? + name.len()..];
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

/// A message with this body, counted or in chunks.
fn framed(start: &str, body: &[u8], chunked: bool) -> Vec<u8> {
    if !chunked {
        return [format!("{start}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    }
    let mut out = format!("{start}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(7_000) {
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// An upstream that answers `/SEED/SIZE` with that body, checks what it is sent, and dies now and then.
fn upstream(
    seed: u64,
    stop: &Arc<AtomicBool>,
    wrong: &Arc<Tally>,
) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let mut listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (stop, wrong) = (Arc::clone(stop), Arc::clone(wrong));
    let handle = std::thread::spawn(move || {
        let mut dice = Dice(seed);
        let mut open: Vec<std::thread::JoinHandle<()>> = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            if stop.load(Relaxed) {
                break;
            }
            let (seed, wrong) = (dice.next(), Arc::clone(&wrong));
            open.retain(|thread| !thread.is_finished());
            open.push(std::thread::spawn(move || {
                serve(stream, Dice(seed), &wrong);
            }));
            if dice.chance(1) {
                // Gone for a moment, and back at the same address.
                drop(listener);
                std::thread::sleep(Duration::from_millis(20));
                listener = rebind(address);
            }
        }
    });
    (address, handle)
}

fn rebind(address: SocketAddr) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("reuse");
    socket.bind(&address.into()).expect("the same port");
    socket.listen(128).expect("listens");
    socket.into()
}

fn serve(stream: TcpStream, mut dice: Dice, tally: &Tally) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut peer = Peer { stream, rest: Vec::new() };
    loop {
        let head = peer.head()?;
        let mut words = head.split(' ').nth(1)?.split('/').skip(1);
        let (seed, size): (u64, usize) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        if head.contains("upgrade: websocket") {
            let agree =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            peer.stream.write_all(agree).ok()?;
            let limit = dice.below(200_000) as usize;
            return echo(peer, limit, dice.chance(20));
        }
        match dice.below(100) {
            0 => {
                peer.reset();
                return Some(());
            }
            1 => return None,
            2 => {
                peer.stream.write_all(b"HTTP/1.1 2oo garbage\r\n\r\n").ok()?;
                return None;
            }
            3 => {
                // Before the request is complete.
                peer.stream.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno").ok()?;
                return None;
            }
            4 => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        let sent = peer.body(&head)?;
        if let Some(seed) = number(&head, "x-body: ")
            && !sent.iter().enumerate().all(|(at, byte)| *byte == pattern(seed, at))
        {
            tally.wrong.fetch_add(1, Relaxed);
        }
        let answer = body(seed, size);
        let close = dice.chance(5);
        let start = format!(
            "HTTP/1.1 200 OK\r\nx-got: {}\r\n{}",
            sent.len(),
            if close { "connection: close\r\n" } else { "" }
        );
        let message = framed(&start, &answer, dice.chance(40));
        if dice.chance(3) {
            // Half of it.
            let half = dice.below(message.len() as u64) as usize;
            peer.stream.write_all(&message[..half]).ok()?;
            if dice.chance(50) {
                peer.reset();
            }
            return None;
        }
        peer.stream.write_all(&message).ok()?;
        if close {
            return None;
        }
    }
}

/// Sends back what comes, up to a limit; then it ends, or dies.
fn echo(mut peer: Peer, limit: usize, die: bool) -> Option<()> {
    let mut sum = 0;
    loop {
        let data = std::mem::take(&mut peer.rest);
        sum += data.len();
        peer.stream.write_all(&data).ok()?;
        if sum > limit {
            if die {
                peer.reset();
                return Some(());
            }
            let _ = peer.stream.shutdown(Shutdown::Write);
            while peer.fill().is_some() {
                peer.rest.clear();
            }
            return Some(());
        }
        peer.fill()?;
    }
}

/// One client: connections until told to stop.
fn client(address: SocketAddr, mut dice: Dice, stop: &AtomicBool, tally: &Tally) {
    while !stop.load(Relaxed) {
        let Ok(stream) = TcpStream::connect(address) else { continue };
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        let mut peer = Peer { stream, rest: Vec::new() };
        let requests = 1 + dice.below(30);
        for _ in 0..requests {
            if stop.load(Relaxed) {
                break;
            }
            match exchange(peer, &mut dice, tally) {
                Some(same) => peer = same,
                None => break,
            }
        }
    }
}

/// One request, in one of many ways. The connection, if it can be used again.
fn exchange(mut peer: Peer, dice: &mut Dice, tally: &Tally) -> Option<Peer> {
    if dice.chance(4) {
        tunnel(peer, dice, tally);
        return None;
    }
    if dice.chance(2) {
        // Nonsense is refused, and nothing comes of it.
        peer.stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx : y\r\n\r\n").ok()?;
        while peer.fill().is_some() {}
        return None;
    }
    let pipelined = if dice.chance(5) { 3 } else { 1 };
    let mut expected = Vec::new();
    let mut message = Vec::new();
    for _ in 0..pipelined {
        let (seed, size) = (dice.below(1 << 20), if pipelined > 1 { 500 } else { dice.size() });
        let start =
            |method: &str| format!("{method} /{seed}/{size} HTTP/1.1\r\nhost: soak\r\nx-body: {seed}\r\n");
        let sent = if pipelined == 1 && dice.chance(40) { dice.size() } else { 0 };
        if sent > 0 {
            message.extend(framed(&start("POST"), &body(seed, sent), dice.chance(50)));
        } else {
            message.extend(format!("{}\r\n", start("GET")).into_bytes());
        }
        expected.push((seed, size, sent));
    }
    if dice.chance(3) {
        // The client dies in the middle of its request.
        let half = dice.below(message.len() as u64) as usize;
        let _ = peer.stream.write_all(&message[..half]);
        tally.given_up.fetch_add(1, Relaxed);
        if dice.chance(50) {
            peer.reset();
        }
        return None;
    }
    // An answer may come before all is sent: writing and reading go at the same time.
    let mut writer = peer.stream.try_clone().ok()?;
    let writing = (message.len() > 60_000).then(|| {
        let message = std::mem::take(&mut message);
        std::thread::spawn(move || writer.write_all(&message).is_ok())
    });
    if writing.is_none() {
        peer.stream.write_all(&message).ok()?;
    }
    let result = answers(&mut peer, &expected, dice, tally);
    if let Some(writing) = writing {
        if result.is_none() {
            let _ = peer.stream.shutdown(Shutdown::Both);
        }
        if !writing.join().unwrap_or(false) {
            return None;
        }
    }
    match result? {
        true => Some(peer),
        false => None,
    }
}

/// Reads and checks the answers; says whether the connection stays, `None` if it died or is given up.
fn answers(
    peer: &mut Peer,
    expected: &[(u64, usize, usize)],
    dice: &mut Dice,
    tally: &Tally,
) -> Option<bool> {
    for &(seed, size, sent) in expected {
        if dice.chance(2) {
            tally.given_up.fetch_add(1, Relaxed);
            if dice.chance(50) {
                let _ = socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO));
            }
            return None;
        }
        if dice.chance(2) {
            std::thread::sleep(Duration::from_millis(dice.below(50)));
        }
        let Some(head) = peer.head() else {
            tally.cut.fetch_add(1, Relaxed);
            return None;
        };
        let Some(got) = peer.body(&head) else {
            tally.cut.fetch_add(1, Relaxed);
            return None;
        };
        if head.starts_with("http/1.1 200") {
            let right = got.len() == size
                && got.iter().enumerate().all(|(at, byte)| *byte == pattern(seed, at))
                && number(&head, "x-got: ") == Some(sent as u64);
            if !right {
                tally.wrong.fetch_add(1, Relaxed);
            }
            tally.whole.fetch_add(1, Relaxed);
        } else {
            tally.proxied_errors.fetch_add(1, Relaxed);
        }
        if head.contains("connection: close") {
            return Some(false);
        }
    }
    Some(true)
}

fn tunnel(mut peer: Peer, dice: &mut Dice, tally: &Tally) -> Option<()> {
    let ask = "GET /1/1 HTTP/1.1\r\nhost: soak\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    peer.stream.write_all(ask.as_bytes()).ok()?;
    let head = peer.head()?;
    if !head.starts_with("http/1.1 101") {
        return None;
    }
    tally.tunnels.fetch_add(1, Relaxed);
    for _ in 0..dice.below(8) {
        let seed = dice.next();
        let sent = body(seed, 1 + dice.below(30_000) as usize);
        peer.stream.write_all(&sent).ok()?;
        if dice.chance(10) {
            peer.reset();
            return Some(());
        }
        if peer.exactly(sent.len())? != sent {
            tally.wrong.fetch_add(1, Relaxed);
        }
    }
    if dice.chance(50) {
        peer.stream.shutdown(Shutdown::Write).ok()?;
        while peer.fill().is_some() {}
    }
    Some(())
}

/// Descriptors of the pipes for large bodies that two workers keep.
const PIPES: usize = 2 * 16 * 2;

#[test]
fn nothing_is_left_and_nothing_is_wrong() {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = from_environment("NUNCIO_SOAK_SECONDS").unwrap_or(6);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64;
    let seed = from_environment("NUNCIO_SOAK_SEED").unwrap_or(now);
    println!("soak for {seconds} s with NUNCIO_SOAK_SEED={seed}");
    let mut dice = Dice(seed);
    let tally = Arc::new(Tally::default());
    let down = Arc::new(AtomicBool::new(false));
    let upstreams: Vec<_> = (0..3).map(|_| upstream(dice.next(), &down, &tally)).collect();
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.0).collect();
    let hcm = "upgrade_configs: [{upgrade_type: websocket}]\n          stream_idle_timeout: 20s\n          delayed_close_timeout: 0.2s";
    let routes = "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 10s}}";
    let mut proxy =
        Proxy::start_with(&config(hcm, routes, &[("up", &addresses, "")]), &["--concurrency", "2"]);
    // Sockets, and other descriptors.
    let descriptors = |proxy: &Proxy| {
        let all = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("our child");
        let links = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let (sockets, others): (Vec<_>, Vec<_>) =
            links.partition(|link| link.to_string_lossy().starts_with("socket:"));
        (sockets.len(), others.len())
    };
    // One administrative connection, so that it is in the count.
    proxy.stat("server.live");
    proxy.await_stat("http.admin.downstream_cx_active", 1);
    let open_before = descriptors(&proxy);

    let mut warm = 0;
    let mut peak = 0;
    for round in 0..2 {
        // The first fifth warms up; memory is compared with what is held after it.
        let span = Duration::from_secs(seconds) * if round == 0 { 1 } else { 4 } / 5;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (seed, stop, tally) = (dice.next(), Arc::clone(&stop), Arc::clone(&tally));
                let address = proxy.first();
                std::thread::spawn(move || client(address, Dice(seed), &stop, &tally))
            })
            .collect();
        let end = Instant::now() + span;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
            peak = peak.max(proxy.resident());
        }
        stop.store(true, Relaxed);
        for client in clients {
            client.join().expect("a client");
        }
        for gauge in ["http.test.downstream_cx_active", "http.test.downstream_rq_active"] {
            proxy.await_stat(gauge, 0);
        }
        if round == 0 {
            warm = proxy.resident();
        }
    }
    let resident = proxy.resident();

    // The upstreams go away, and with them the pools.
    down.store(true, Relaxed);
    for (address, handle) in upstreams {
        let _ = TcpStream::connect(address);
        handle.join().expect("an upstream");
    }
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    println!(
        "whole {}, errors answered {}, cut {}, given up {}, tunnels {}; memory: warm {} KiB, end {} KiB, peak {} KiB",
        count(&tally.whole),
        count(&tally.proxied_errors),
        count(&tally.cut),
        count(&tally.given_up),
        count(&tally.tunnels),
        warm >> 10,
        resident >> 10,
        peak >> 10,
    );
    assert_eq!(tally.wrong.load(Relaxed), 0, "bodies were wrong");
    assert!(count(&tally.whole) > 10 * seconds, "too little got through");
    for gauge in [
        "http.test.downstream_cx_active",
        "http.test.downstream_rq_active",
        "http.test.downstream_cx_upgrades_active",
        "cluster.up.upstream_rq_active",
        "cluster.up.upstream_rq_pending_active",
    ] {
        proxy.await_stat(gauge, 0);
    }
    // Pooled connections to upstreams whose threads still wait for a request stay; all others are gone.
    let pooled = proxy.stat("cluster.up.upstream_cx_active") as usize;
    let end = Instant::now() + support::PATIENCE;
    loop {
        let open = descriptors(&proxy);
        if open.0 <= open_before.0 + pooled && open.1 <= open_before.1 + PIPES {
            break;
        }
        assert!(
            Instant::now() < end,
            "{open:?} descriptors are open, {open_before:?} were, {pooled} are pooled"
        );
        std::thread::yield_now();
    }
    let [total, completed] =
        ["http.test.downstream_rq_total", "http.test.downstream_rq_completed"].map(|name| proxy.stat(name));
    // Those that were never answered are not completed; that every request ends is seen above.
    assert!(completed <= total && completed > total / 2, "{completed} of {total} completed");
    assert!(
        resident < warm + (warm / 4).max(6 << 20),
        "memory grows: {} KiB after warming up, {} KiB at the end",
        warm >> 10,
        resident >> 10
    );
    let log = proxy.log();
    let complaints: Vec<_> =
        log.lines().filter(|line| line.contains("][error]") || line.contains("panicked")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    proxy.signal("TERM");
    assert!(proxy.wait().success(), "{}", proxy.log());
}
