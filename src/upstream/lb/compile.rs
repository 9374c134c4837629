//! `Cluster.lb_policy` and its options.

use super::{HashFunction, Maglev, Ring, RingOptions};
use crate::api::envoy::config::cluster::v3::Cluster;
use crate::api::envoy::config::cluster::v3::cluster::ring_hash_lb_config::HashFunction as ProtoFunction;
use crate::api::envoy::config::cluster::v3::cluster::{LbConfig, LbPolicy, RingHashLbConfig};
use crate::config::Cx;
use crate::stats::Gauge;
use crate::upstream::config::{HostConfig, LoadBalancing};
use std::sync::Arc;

/// Default of `minimum_ring_size`, and what both sizes of rings may be at most.
const LEAST_RING: u64 = 1024;
const MOST_RING: u64 = 8 << 20;
/// Default of `table_size`, and what it may be at most.
const TABLE: u64 = 65_537;
const MOST_TABLE: u64 = 5_000_011;

/// Compiles the policy of a cluster with these hosts; and says what its gauges show. `prefix` is where they are.
pub(in super::super) fn policy(
    proto: &Cluster,
    hosts: &[HostConfig],
    prefix: &str,
    cx: &mut Cx<'_>,
) -> (LoadBalancing, Vec<(Gauge, u64)>) {
    let (mut choices, mut ring, mut table) = (2, default_ring(), TABLE);
    match &proto.lb_config {
        None => {}
        Some(LbConfig::LeastRequestLbConfig(config)) => {
            choices = config.choice_count.unwrap_or(choices);
            if choices < 2 {
                cx.field("least_request_lb_config", |cx| {
                    cx.error_at("choice_count", "at least 2 hosts must be compared")
                });
            }
        }
        Some(LbConfig::RingHashLbConfig(config)) => {
            ring = cx.field("ring_hash_lb_config", |cx| ring_options(config, cx));
        }
        Some(LbConfig::MaglevLbConfig(config)) => {
            table = config.table_size.unwrap_or(table);
            if table > MOST_TABLE || !is_prime(table) {
                cx.field("maglev_lb_config", |cx| {
                    cx.error_at("table_size", format!("a prime is required that is at most {MOST_TABLE}"));
                });
                table = TABLE;
            }
        }
    }
    // As in Envoy, what a host is called is its address.
    let names: Vec<_> = hosts.iter().map(|host| host.address.to_string()).collect();
    let named: Vec<_> = names.iter().zip(hosts).map(|(name, host)| (&name[..], host.weight)).collect();
    let mut gauges = Vec::new();
    let policy = match proto.lb_policy() {
        LbPolicy::RoundRobin => LoadBalancing::RoundRobin,
        LbPolicy::LeastRequest => LoadBalancing::LeastRequest { choices },
        LbPolicy::Random => LoadBalancing::Random,
        LbPolicy::RingHash => {
            let ring = Ring::new(&named, ring);
            for (name, value) in
                ["size", "min_hashes_per_host", "max_hashes_per_host"].iter().zip(ring.sizes())
            {
                gauges.push((cx.registry.gauge(&format!("{prefix}ring_hash_lb.{name}")), value));
            }
            LoadBalancing::RingHash(Arc::new(ring))
        }
        LbPolicy::Maglev => {
            let table = Maglev::new(&named, table);
            for (name, value) in ["min_entries_per_host", "max_entries_per_host"].iter().zip(table.sizes()) {
                gauges.push((cx.registry.gauge(&format!("{prefix}maglev_lb.{name}")), value));
            }
            LoadBalancing::Maglev(Arc::new(table))
        }
    };
    (policy, gauges)
}

fn default_ring() -> RingOptions {
    RingOptions { least: LEAST_RING, most: MOST_RING, function: HashFunction::XxHash }
}

fn ring_options(proto: &RingHashLbConfig, cx: &mut Cx<'_>) -> RingOptions {
    let least = proto.minimum_ring_size.unwrap_or(LEAST_RING);
    let most = proto.maximum_ring_size.unwrap_or(MOST_RING);
    let too_large: Vec<_> = [("minimum_ring_size", least), ("maximum_ring_size", most)]
        .into_iter()
        .filter(|(_, size)| *size > MOST_RING)
        .collect();
    for (field, _) in &too_large {
        cx.error_at(field, format!("a ring has at most {MOST_RING} places"));
    }
    let broken = cx.is_broken(&["minimum_ring_size"]) || cx.is_broken(&["maximum_ring_size"]);
    if too_large.is_empty() && least > most && !broken {
        let field = if proto.maximum_ring_size.is_some() { "maximum_ring_size" } else { "minimum_ring_size" };
        cx.error_at(
            field,
            format!("the ring can have at most {most} places, but is to have at least {least}"),
        );
    }
    if !too_large.is_empty() || least > most {
        return default_ring();
    }
    let function = match proto.hash_function() {
        ProtoFunction::XxHash => HashFunction::XxHash,
        ProtoFunction::MurmurHash2 => HashFunction::MurmurHash2,
    };
    RingOptions { least, most, function }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes() {
        let primes: Vec<_> = (0..30).filter(|number| is_prime(*number)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(TABLE) && is_prime(MOST_TABLE));
    }
}
