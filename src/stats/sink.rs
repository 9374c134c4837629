//! Sending statistics by statsd or DogStatsD over UDP.
//!
//! Main feeds the sinks at the end of every interval: what counters gained, what gauges are, and the values that
//! histograms recorded. Sockets never block; what cannot be sent is counted and forgotten, since a receiver that is
//! away must not slow or end the proxy.

use super::config::{SinkConfig, StatsConfig};
use super::merged::Merged;
use super::number::shortest;
use super::{Kind, Unit};
use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// All sinks of a configuration.
#[derive(Debug)]
pub struct Sinks {
    sinks: Vec<Sink>,
    /// Counters at the end of the last interval, by name.
    sent: HashMap<String, u64>,
}

#[derive(Debug)]
struct Sink {
    config: SinkConfig,
    socket: UdpSocket,
}

impl Sinks {
    /// Opens a socket for each sink; whether anybody listens there does not matter.
    ///
    /// # Errors
    /// If the system gives no socket.
    pub fn open(configs: &[SinkConfig]) -> io::Result<Self> {
        let sinks = configs.iter().map(|config| {
            let any: SocketAddr = match config.address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.set_nonblocking(true)?;
            Ok(Sink { config: config.clone(), socket })
        });
        Ok(Self { sinks: sinks.collect::<io::Result<_>>()?, sent: HashMap::new() })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Sends everything that has been used, at the end of an interval; gives the number of datagrams that could not be
    /// sent.
    pub fn send(&mut self, merged: &Merged, config: &StatsConfig) -> u64 {
        let mut lost = 0;
        for sink in &self.sinks {
            let mut lines = Lines { sink, datagram: String::new(), lost: 0 };
            for row in merged.rows().iter().filter(|row| row.used) {
                let (value, kind) = match row.kind {
                    Kind::Gauge => (row.value, "g"),
                    Kind::Counter => {
                        let before = self.sent.get(&row.name).copied().unwrap_or(0);
                        // Less than before: an operator has reset it.
                        (row.value.checked_sub(before).unwrap_or(row.value), "c")
                    }
                };
                lines.push(&row.name, &value.to_string(), kind, 1, config);
            }
            for row in merged.histograms() {
                let kind = if row.unit == Unit::Milliseconds { "ms" } else { "h" };
                for bin in row.interval.bins() {
                    // Values below 100 are known exactly; of larger ones two digits.
                    let value = if bin.width <= 1.0 { bin.lower } else { bin.lower + bin.width / 2.0 };
                    lines.push(&row.name, &format!("{value:.0}"), kind, bin.count, config);
                }
            }
            lines.flush();
            lost += lines.lost;
        }
        if !self.sinks.is_empty() {
            let counters = merged.rows().iter().filter(|row| row.kind == Kind::Counter && row.used);
            for row in counters {
                match self.sent.get_mut(&row.name) {
                    Some(value) => *value = row.value,
                    None => drop(self.sent.insert(row.name.clone(), row.value)),
                }
            }
        }
        lost
    }
}

/// The datagrams of one sink in one interval.
struct Lines<'a> {
    sink: &'a Sink,
    datagram: String,
    lost: u64,
}

impl Lines<'_> {
    /// Adds one statistic; `count` values of a histogram that are the same are told as one with a sample rate.
    fn push(&mut self, name: &str, value: &str, kind: &str, count: u64, config: &StatsConfig) {
        let SinkConfig { prefix, tags, datagram: limit, .. } = &self.sink.config;
        let rate = if count > 1 { format!("|@{}", shortest(1.0 / count as f64)) } else { String::new() };
        let mut line = format!("{prefix}.");
        if *tags {
            let tagged = config.tags.extract(name);
            // Writing into memory does not fail.
            let _ = write!(line, "{}:{value}|{kind}{rate}", clean(&tagged.name));
            for (index, (tag, value)) in tagged.tags.iter().enumerate() {
                let before = if index == 0 { "|#" } else { "," };
                let _ = write!(line, "{before}{}:{}", clean(tag), clean(value));
            }
        } else {
            let _ = write!(line, "{}:{value}|{kind}{rate}", clean(name));
        }
        if !self.datagram.is_empty() && self.datagram.len() + 1 + line.len() > *limit {
            self.flush();
        }
        if !self.datagram.is_empty() {
            self.datagram.push('\n');
        }
        self.datagram.push_str(&line);
    }

    fn flush(&mut self) {
        if !self.datagram.is_empty() {
            let sent = self.sink.socket.send_to(self.datagram.as_bytes(), self.sink.config.address);
            self.lost += u64::from(sent.is_err());
            self.datagram.clear();
        }
    }
}

/// Names come from the configuration: what would end or divide a line is replaced.
fn clean(text: &str) -> String {
    text.replace([':', '|', '@', '#', ',', '\n', '\r'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Block, Collector, Registry, StatsMatcher, Tags};
    use std::time::Duration;

    #[test]
    fn what_was_used_is_sent_and_counters_as_differences() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        receiver.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let address = receiver.local_addr().expect("bound");
        let sink =
            |prefix: &str, tags, datagram| SinkConfig { address, prefix: prefix.to_owned(), tags, datagram };
        let config = StatsConfig {
            flush_interval: Duration::from_secs(5),
            tags: Tags::default(),
            matcher: StatsMatcher::All,
            buckets: Vec::new(),
            sinks: vec![sink("envoy", false, 0), sink("dog", true, 60)],
        };
        let mut registry = Registry::new();
        let total = registry.counter("http.a|b.rq_total");
        registry.counter("http.a|b.never");
        let active = registry.gauge("server.active");
        let time = registry.histogram("http.a|b.time", Unit::Milliseconds);
        let size = registry.histogram("size", Unit::Bytes);
        let blocks = vec![Block::new(&registry), Block::new(&registry)];
        let mut collector = Collector::new(&registry, blocks.clone());
        let mut sinks = Sinks::open(&config.sinks).expect("sockets");
        blocks[0].add(total, 3);
        blocks[1].add(total, 2);
        blocks[1].move_gauge(active, 7);
        [41, 41, 41, 41, 175].iter().for_each(|value| blocks[1].record(time, *value));
        blocks[0].record(size, 5);
        let mut exchange = |count: usize| {
            collector.end_interval();
            assert_eq!(sinks.send(&collector.merged(&registry, &config.matcher), &config), 0);
            let mut buffer = [0; 2000];
            let mut one = || {
                let n = receiver.recv(&mut buffer).expect("a datagram");
                String::from_utf8(buffer[..n].to_vec()).expect("text")
            };
            (0..count).map(|_| one()).collect::<Vec<_>>()
        };
        let first = [
            "envoy.http.a_b.rq_total:5|c",
            "envoy.server.active:7|g",
            "envoy.http.a_b.time:41|ms|@0.25",
            "envoy.http.a_b.time:175|ms",
            "envoy.size:5|h",
            "dog.http.rq_total:5|c|#envoy.http_conn_manager_prefix:a_b",
            "dog.server.active:7|g",
            "dog.http.time:41|ms|@0.25|#envoy.http_conn_manager_prefix:a_b",
            "dog.http.time:175|ms|#envoy.http_conn_manager_prefix:a_b",
            "dog.size:5|h",
        ];
        assert_eq!(exchange(first.len()), first);
        blocks[0].add(total, 1);
        blocks[1].move_gauge(active, -7);
        let second = [
            "envoy.http.a_b.rq_total:1|c",
            "envoy.server.active:0|g",
            "dog.http.rq_total:1|c|#envoy.http_conn_manager_prefix:a_b",
            "dog.server.active:0|g",
        ];
        assert_eq!(exchange(second.len()), second);
    }

    #[test]
    fn lines_share_a_datagram_up_to_its_size() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = receiver.local_addr().expect("bound");
        let config = SinkConfig { address, prefix: "p".to_owned(), tags: true, datagram: 20 };
        let stats = StatsConfig {
            flush_interval: Duration::from_secs(5),
            tags: Tags::default(),
            matcher: StatsMatcher::All,
            buckets: Vec::new(),
            sinks: vec![config],
        };
        let mut registry = Registry::new();
        let counters: Vec<_> =
            ["a", "b", "c", "long_long_long_long"].map(|name| registry.counter(name)).into();
        let block = Block::new(&registry);
        counters.iter().for_each(|counter| block.inc(*counter));
        let mut sinks = Sinks::open(&stats.sinks).expect("sockets");
        sinks.send(&Merged::of(&registry, &[block]), &stats);
        let mut buffer = [0; 200];
        receiver.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let mut one =
            || receiver.recv(&mut buffer).map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned());
        assert_eq!(one().expect("first"), "p.a:1|c\np.b:1|c");
        assert_eq!(one().expect("second"), "p.c:1|c");
        assert_eq!(one().expect("third"), "p.long_long_long_long:1|c");
    }
}
