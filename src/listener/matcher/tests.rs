//! Which chain connections get: Envoy's order, most exact first, no way back; and what overlaps.

use super::*;
use crate::io::Findings;

/// A chain's criteria, written as `port=1 to=10.0.0.0/8 name=a,*.b transport=tls alpn=h2 direct=.. type=local from=.. ports=1,2`.
fn criteria(text: &str) -> Criteria {
    let mut criteria = Criteria::default();
    for part in text.split_whitespace() {
        let (key, values) = part.split_once('=').expect("key=value");
        let list = || values.split(',').map(str::to_owned).collect::<Vec<_>>();
        let ranges = || list().iter().map(|range| cidr(range)).collect::<Vec<_>>();
        match key {
            "port" => criteria.destination_port = Some(values.parse().expect("a port")),
            "to" => criteria.destinations = ranges(),
            "name" => criteria.server_names = list(),
            "transport" => criteria.transport_protocol = Some(values.to_owned()),
            "alpn" => criteria.application_protocols = list(),
            "direct" => criteria.direct_sources = ranges(),
            "type" if values == "local" => criteria.source_type = SourceType::Local,
            "type" => criteria.source_type = SourceType::External,
            "from" => criteria.sources = ranges(),
            "ports" => {
                criteria.source_ports = list().iter().map(|port| port.parse().expect("a port")).collect()
            }
            other => panic!("{other}"),
        }
    }
    criteria
}

fn cidr(text: &str) -> Cidr {
    let (address, bits) = text.split_once('/').expect("a range");
    Cidr::new(address.parse().expect("an address"), bits.parse().expect("a length"))
}

/// A connection, written as `peer > local`, then `name=.. tls alpn=.. proxy=remote>local`.
fn connection(text: &str) -> Provenance {
    let mut words = text.split_whitespace();
    let mut address = || {
        let word = words.next().filter(|word| *word != ">").or_else(|| words.next()).expect("an address");
        word.parse::<Address>().expect("an address")
    };
    let (peer, local) = (address(), address());
    let mut findings = Findings::default();
    for word in words {
        match word.split_once('=') {
            Some(("name", name)) => findings.server_name = name.into(),
            Some(("alpn", list)) => {
                findings.protocols = list.split(',').map(|name| name.as_bytes().into()).collect()
            }
            Some(("proxy", ends)) => {
                let (remote, local) = ends.split_once('>').expect("two ends");
                findings.remote = Some(remote.parse().expect("an address"));
                findings.local = Some(local.parse().expect("an address"));
            }
            _ => findings.tls = word == "tls",
        }
    }
    Provenance { findings: Some(Box::new(findings)), ..Provenance::direct(peer, local) }
}

/// Chains, and connections each with the place of the chain it gets.
fn check(chains: &[&str], default: bool, connections: &[(&str, Option<u32>)]) {
    let all: Vec<_> = chains.iter().enumerate().map(|(at, text)| (at as u32, criteria(text))).collect();
    let matcher = Matcher::new(&all, default.then_some(99)).expect("no overlap");
    for (text, wanted) in connections {
        assert_eq!(matcher.find(&connection(text)), *wanted, "{text} with {chains:?}");
    }
}

#[test]
fn ports_and_destinations() {
    check(
        &[
            "",
            "port=81",
            "port=82 to=10.0.0.0/8",
            "to=10.0.0.0/8",
            "to=10.1.0.0/16",
            "to=10.1.2.3/32",
            "to=fd00::/8",
        ],
        false,
        &[
            ("9.9.9.9:1 > 8.8.8.8:80", Some(0)),
            ("9.9.9.9:1 > 8.8.8.8:81", Some(1)),
            ("9.9.9.9:1 > 10.1.2.3:81", Some(1)),
            ("9.9.9.9:1 > 10.1.2.3:82", Some(2)),
            // The port has chosen: no way back to the chains that do not care.
            ("9.9.9.9:1 > 8.8.8.8:82", None),
            ("9.9.9.9:1 > 10.9.9.9:80", Some(3)),
            ("9.9.9.9:1 > 10.1.9.9:80", Some(4)),
            ("9.9.9.9:1 > 10.1.2.3:80", Some(5)),
            ("[::1]:1 > [fd00::1]:80", Some(6)),
            ("[::1]:1 > [fe00::1]:80", Some(0)),
            // Where it wanted to go counts, not where it was accepted.
            ("9.9.9.9:1 > 8.8.8.8:81 proxy=1.1.1.1:1>10.1.2.3:80", Some(5)),
            ("@client > @server", Some(0)),
        ],
    );
    check(
        &["port=82 to=10.0.0.0/8"],
        true,
        &[("9.9.9.9:1 > 8.8.8.8:82", Some(99)), ("9.9.9.9:1 > 10.1.1.1:82", Some(0))],
    );
    // A unix socket has no port and no address.
    check(&["port=80", "to=0.0.0.0/0", "to=10.0.0.0/8"], false, &[("@client > @server", Some(1))]);
}

#[test]
fn server_names() {
    check(
        &["name=www.example.com", "name=*.example.com", "name=*.com,other.org", "", "name=*.b.example.com"],
        false,
        &[
            ("1.1.1.1:1 > 2.2.2.2:2 name=www.example.com", Some(0)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=a.example.com", Some(1)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=a.a.example.com", Some(1)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=a.b.example.com", Some(4)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=b.example.com", Some(1)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=example.com", Some(2)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=other.org", Some(2)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=an.other.org", Some(3)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=com", Some(3)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=.com", Some(3)),
            ("1.1.1.1:1 > 2.2.2.2:2 name=a.com.", Some(3)),
            ("1.1.1.1:1 > 2.2.2.2:2", Some(3)),
        ],
    );
    check(
        &["name=a.b"],
        false,
        &[("1.1.1.1:1 > 2.2.2.2:2", None), ("1.1.1.1:1 > 2.2.2.2:2 name=a.b", Some(0))],
    );
}

#[test]
fn transports_and_protocols() {
    check(
        &["", "transport=tls", "transport=tls alpn=h2", "alpn=http/1.1", "transport=odd"],
        false,
        &[
            ("1.1.1.1:1 > 2.2.2.2:2", Some(0)),
            ("1.1.1.1:1 > 2.2.2.2:2 tls", Some(1)),
            ("1.1.1.1:1 > 2.2.2.2:2 tls alpn=h2,http/1.1", Some(2)),
            ("1.1.1.1:1 > 2.2.2.2:2 tls alpn=http/1.1", Some(1)),
            ("1.1.1.1:1 > 2.2.2.2:2 alpn=h2,http/1.1", Some(3)),
            ("1.1.1.1:1 > 2.2.2.2:2 alpn=h2c", Some(0)),
        ],
    );
    check(
        &["transport=raw_buffer"],
        true,
        &[("1.1.1.1:1 > 2.2.2.2:2", Some(0)), ("1.1.1.1:1 > 2.2.2.2:2 tls", Some(99))],
    );
    // The client's order decides, not ours.
    check(
        &["alpn=a", "alpn=b"],
        false,
        &[("1.1.1.1:1 > 2.2.2.2:2 alpn=b,a", Some(1)), ("1.1.1.1:1 > 2.2.2.2:2 alpn=a,b", Some(0))],
    );
    // The name chooses first, although the other chain names protocol and transport.
    check(
        &["name=*.a", "transport=tls alpn=h2"],
        false,
        &[
            ("1.1.1.1:1 > 2.2.2.2:2 tls alpn=h2 name=x.a", Some(0)),
            ("1.1.1.1:1 > 2.2.2.2:2 tls alpn=h2 name=x.b", Some(1)),
        ],
    );
}

#[test]
fn sources() {
    check(
        &[
            "",
            "type=local",
            "type=external",
            "type=external from=10.0.0.0/8",
            "direct=10.0.0.0/8",
            "type=local ports=7",
        ],
        false,
        &[
            ("127.0.0.1:1 > 127.0.0.1:2", Some(1)),
            ("127.0.0.2:1 > 127.0.0.1:2", Some(2)),
            ("[::1]:1 > [::1]:2", Some(1)),
            ("5.5.5.5:1 > 5.5.5.5:2", Some(1)),
            ("5.5.5.5:1 > 5.5.5.6:2", Some(2)),
            ("5.5.5.5:7 > 5.5.5.5:2", Some(5)),
            ("@client > @server", Some(1)),
            ("10.1.1.1:1 > 5.5.5.5:2", Some(4)),
            // Connected from 10.1.1.1 on behalf of 10.2.2.2: the direct source chooses first.
            ("10.1.1.1:1 > 5.5.5.5:2 proxy=9.9.9.9:1>5.5.5.5:2", Some(4)),
            ("9.9.9.9:1 > 5.5.5.5:2 proxy=10.2.2.2:1>5.5.5.5:2", Some(3)),
        ],
    );
    check(
        &["from=10.0.0.0/8", "from=10.0.0.0/8 ports=1,2", "from=10.1.0.0/16 ports=9", "ports=1"],
        false,
        &[
            ("10.9.9.9:5 > 5.5.5.5:2", Some(0)),
            ("10.9.9.9:2 > 5.5.5.5:2", Some(1)),
            ("10.1.1.1:9 > 5.5.5.5:2", Some(2)),
            ("10.1.1.1:1 > 5.5.5.5:2", None),
            ("9.9.9.9:1 > 5.5.5.5:2", Some(3)),
            ("9.9.9.9:2 > 5.5.5.5:2", None),
        ],
    );
}

#[test]
fn overlaps_are_found() {
    type Row = (&'static [&'static str], Option<(u32, u32)>);
    let rows: &[Row] = &[
        (&["", ""], Some((0, 1))),
        (&["port=1", "port=2"], None),
        (&["name=a,b", "name=c", "name=d,b"], Some((0, 2))),
        (&["name=*.a", "name=a"], None),
        (&["name=a to=10.0.0.0/8", "name=a to=10.0.0.0/9"], None),
        (&["to=10.0.0.1/8", "to=10.9.9.9/8"], Some((0, 1))),
        (&["to=0.0.0.0/0", ""], None),
        (&["alpn=h2,h3", "alpn=h3", "alpn=h2"], Some((0, 1))),
        (&["transport=tls", "transport=raw_buffer"], None),
        (&["type=local", "type=external", ""], None),
        (&["from=10.0.0.0/8 ports=1,2", "from=10.0.0.0/8 ports=3", "from=10.0.0.0/8 ports=2"], Some((0, 2))),
        (&["ports=1", ""], None),
    ];
    for (chains, wanted) in rows {
        let all: Vec<_> = chains.iter().enumerate().map(|(at, text)| (at as u32, criteria(text))).collect();
        let overlap = Matcher::new(&all, None).err();
        assert_eq!(overlap, wanted.map(|(first, second)| Overlap { first, second }), "{chains:?}");
    }
}

#[test]
fn without_chains_there_is_only_the_default() {
    check(&[], true, &[("1.1.1.1:1 > 2.2.2.2:2", Some(99))]);
    check(&[""], true, &[("1.1.1.1:1 > 2.2.2.2:2", Some(0))]);
    assert_eq!(Matcher::only().find(&connection("1.1.1.1:1 > 2.2.2.2:2")), Some(0));
}
