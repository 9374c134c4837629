//! The table against a list, with time that is moved by hand.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const IDLE: Duration = Duration::from_secs(10);
const SECRET: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn listener(slot: u64) -> ListenerKey {
    ListenerKey::from_raw(nuncio_reactor::RawKey::from_bits(1 << 32 | slot))
}

fn flow(peer: &str) -> Flow {
    Flow { peer: peer.parse().expect("an address"), local: None, listener: listener(0), host: None }
}

/// What is idle now.
fn idle<T>(table: &mut Table<T>, now: Time) -> Vec<Due> {
    let mut due = Vec::new();
    table.expire(now, |_| IDLE, &mut due);
    due
}

#[test]
fn each_part_of_a_flow_tells_sessions_apart() {
    let mut table = Table::new(SECRET);
    let base = flow("10.0.0.1:1000");
    let local: IpAddr = "127.0.0.1".parse().expect("an address");
    let flows = [
        base,
        flow("10.0.0.1:1001"),
        flow("10.0.0.2:1000"),
        flow("[::ffff:10.0.0.1]:1000"),
        flow("[fe80::1]:1000"),
        flow("[fe80::1%2]:1000"),
        Flow { local: Some(local), ..base },
        Flow { listener: listener(1), ..base },
        Flow { host: Some(0), ..base },
        Flow { host: Some(1), ..base },
    ];
    let keys: Vec<_> = flows.iter().map(|flow| table.insert(*flow, at(0), IDLE, ())).collect();
    for (flow, key) in flows.iter().zip(&keys) {
        assert_eq!(table.find(flow), Some(*key), "{flow:?}");
        assert!(keys.iter().filter(|other| *other == key).count() == 1);
    }
    assert_eq!(table.remove(keys[0]).map(|entry| entry.flow), Some(base));
    assert_eq!((table.find(&base), table.remove(keys[0]).is_none()), (None, true));
    assert_eq!(table.find(&flows[1]), Some(keys[1]));
}

#[test]
fn a_session_is_idle_after_its_last_datagram() {
    let mut table = Table::new(SECRET);
    let key = table.insert(flow("10.0.0.1:1"), at(500), IDLE, ());
    assert_eq!(idle(&mut table, at(10_499)), []);
    // Its timer has not looked yet; activity costs no more than this.
    table.get_mut(key).expect("there").last = at(9_000);
    assert_eq!(idle(&mut table, at(10_500)), [], "the timer has looked, and is armed again");
    table.get_mut(key).expect("there").last = at(12_345);
    assert_eq!(idle(&mut table, at(19_000)), []);
    assert_eq!(idle(&mut table, at(22_344)), []);
    assert_eq!(idle(&mut table, at(22_345)), [Due::Idle(key)]);
    assert!(table.remove(key).is_some());
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn timers_of_the_dead_are_silent() {
    let mut table = Table::new(SECRET);
    let key = table.insert(flow("10.0.0.1:1"), at(0), IDLE, ());
    table.arm(at(3_000), Due::Log(key));
    assert_eq!(idle(&mut table, at(3_000)), [Due::Log(key)]);
    table.arm(at(6_000), Due::Log(key));
    table.remove(key);
    // In the same slot.
    let next = table.insert(flow("10.0.0.1:2"), at(1), IDLE, ());
    assert_ne!(key, next);
    assert_eq!(idle(&mut table, at(10_000)), []);
    assert_eq!(idle(&mut table, at(10_001)), [Due::Idle(next)]);
}

#[test]
fn a_timer_that_is_armed_earlier_looks_earlier() {
    let mut table = Table::new(SECRET);
    let key = table.insert(flow("10.0.0.1:1"), at(0), IDLE, ());
    table.arm(at(2_000), Due::Idle(key));
    let mut due = Vec::new();
    table.expire(at(2_000), |_| Duration::from_secs(2), &mut due);
    assert_eq!(due, [Due::Idle(key)]);
}

#[test]
fn memory_comes_back_when_sessions_end() {
    let mut table = Table::new(SECRET);
    for round in 0..3 {
        let start = at(round * 1_000_000);
        let flows = (0..20_000u32).map(|n| SocketAddr::new(IpAddr::V4(n.into()), 1));
        let keys: Vec<_> = flows
            .map(|peer| Flow { peer, ..flow("10.0.0.1:1") })
            .map(|flow| table.insert(flow, start, IDLE, [0u64; 8]))
            .collect();
        let survivor = keys[(round as usize * 7919) % keys.len()];
        for key in keys.iter().filter(|key| **key != survivor) {
            table.remove(*key);
        }
        table.shrink();
        assert!(table.index.capacity() < 100, "{}", table.index.capacity());
        assert!(table.find(&table.get(survivor).expect("there").flow) == Some(survivor));
        // Whether it lies in front or at the end, in the end nothing is kept.
        table.remove(survivor);
        table.shrink();
        assert_eq!((table.sessions.capacity(), table.index.capacity()), (0, 0));
        assert_eq!((table.len(), table.next_deadline()), (0, None), "timers and all");
        assert!(keys.iter().all(|key| table.get(*key).is_none()));
    }
}

#[test]
fn senders_that_differ_little_are_spread() {
    // Neighbouring ports and addresses, as of one client behind a translator or of a scan.
    let mut buckets = vec![0u32; 1 << 12];
    for n in 0..(1u32 << 16) {
        let peer = SocketAddr::new(IpAddr::V4((0x0a00_0000 + (n >> 8)).into()), (n & 0xff) as u16);
        buckets[hash(&Flow { peer, ..flow("10.0.0.1:1") }, SECRET) as usize & 0xfff] += 1;
    }
    // 16 on average.
    assert!(buckets.iter().all(|count| *count < 50), "{:?}", buckets.iter().max());
    let tags: std::collections::HashSet<_> = (0..1024u16)
        .map(|port| {
            let peer = SocketAddr::new("10.0.0.1".parse().expect("an address"), port);
            hash(&Flow { peer, ..flow("10.0.0.1:1") }, SECRET) >> 57
        })
        .collect();
    assert_eq!(tags.len(), 128, "the upper bits too");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
    #[test]
    fn it_is_a_map_whose_entries_grow_old(steps in prop::collection::vec((0u8..5, 0u16..24, 0u64..4000), 0..300)) {
        let mut table = Table::new(SECRET);
        // Flow to key and last datagram.
        let mut model = HashMap::new();
        let mut now = 0;
        for (what, peer, time) in steps {
            let flow = flow(&format!("10.0.0.1:{}", peer + 1));
            match what {
                0 | 1 => match (model.get_mut(&peer), table.find(&flow)) {
                    (Some((key, last)), found) => {
                        prop_assert_eq!(found, Some(*key));
                        *last = now;
                        table.get_mut(*key).expect("there").last = at(now);
                    }
                    (None, found) => {
                        prop_assert_eq!(found, None);
                        model.insert(peer, (table.insert(flow, at(now), IDLE, peer), now));
                    }
                },
                2 => {
                    if let Some((key, _)) = model.remove(&peer) {
                        prop_assert_eq!(table.remove(key).map(|entry| entry.value), Some(peer));
                    }
                }
                3 => drop(table.shrink()),
                _ => {
                    now += time;
                    let mut due = Vec::new();
                    for what in idle(&mut table, at(now)) {
                        let Due::Idle(key) = what else { panic!("{what:?}") };
                        // A session that ended and began again has timers of both.
                        if let Some(entry) = table.remove(key) {
                            due.push(entry.value);
                        }
                    }
                    due.sort_unstable();
                    let mut wanted: Vec<_> = model
                        .iter()
                        .filter(|(_, (_, last))| last + 10_000 <= now)
                        .map(|(peer, _)| *peer)
                        .collect();
                    wanted.sort_unstable();
                    model.retain(|_, (_, last)| *last + 10_000 > now);
                    prop_assert_eq!(due, wanted);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            // Whoever is to be noticed will be.
            let first = model.values().map(|(_, last)| at(last + 10_000)).min();
            if let Some(first) = first {
                prop_assert!(table.next_deadline().is_some_and(|deadline| deadline <= first));
            }
        }
    }
}
