//! How many CPUs this process may really use.
//!
//! For programs that start one loop per CPU. Asked once at the start: it reads files, and what an administrator
//! changes later is not followed. What cannot be read or understood counts as no limit.

use crate::sys;
use std::path::Path;

/// The CPUs that scheduling affinity allows, cut to the CPU quota of the control group (v2 or v1, the tightest
/// on the way to the root), rounded up; at least 1.
pub fn cpus_available() -> usize {
    let affinity = sys::affinity().unwrap_or(1);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let quota = quota(&groups, |path| std::fs::read_to_string(path).ok());
    combine(affinity, quota)
}

fn combine(affinity: usize, quota: Option<f64>) -> usize {
    let quota = quota.map_or(usize::MAX, |quota| quota.ceil().min(1e6) as usize);
    affinity.min(quota).max(1)
}

/// The tightest CPU quota for the groups that `/proc/self/cgroup` names.
fn quota(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
    let mut tightest: Option<f64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let v2 = controllers.is_empty();
        if !v2 && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        let roots: &[&str] = if v2 {
            &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        } else {
            &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]
        };
        for root in roots {
            for group in Path::new(group).ancestors() {
                let folder = Path::new(root).join(group.strip_prefix("/").unwrap_or(group));
                let limit = if v2 {
                    read(&folder.join("cpu.max")).and_then(|text| parse_max(&text))
                } else {
                    read(&folder.join("cpu.cfs_quota_us"))
                        .zip(read(&folder.join("cpu.cfs_period_us")))
                        .and_then(|(quota, period)| ratio(quota.trim(), period.trim()))
                };
                if let Some(limit) = limit {
                    tightest = Some(tightest.map_or(limit, |tightest| tightest.min(limit)));
                }
            }
        }
    }
    tightest
}

/// `cpu.max`: `<quota|max> <period>`.
fn parse_max(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    ratio(words.next()?, words.next().unwrap_or("100000"))
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    // "max" and -1 mean no limit.
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn quotas() {
        for (text, expected) in [
            ("max 100000\n", None),
            ("50000 100000\n", Some(0.5)),
            ("250000 100000\n", Some(2.5)),
            ("100000\n", Some(1.0)),
            ("", None),
            ("-1 100000", None),
            ("0 0", None),
            ("a b c", None),
        ] {
            assert_eq!(parse_max(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_tightest_group_counts() {
        let files: HashMap<&str, &str> = [
            ("/sys/fs/cgroup/a/b/cpu.max", "400000 100000"),
            ("/sys/fs/cgroup/a/cpu.max", "150000 100000"),
            ("/sys/fs/cgroup/cpu.max", "max 100000"),
            ("/sys/fs/cgroup/cpu/v1/cpu.cfs_quota_us", "300000\n"),
            ("/sys/fs/cgroup/cpu/v1/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu/free/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/free/cpu.cfs_period_us", "100000\n"),
        ]
        .into();
        let read = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
        for (groups, expected) in [
            ("0::/a/b\n", Some(1.5)),
            ("0::/\n", None),
            ("3:cpu,cpuacct:/v1\n1:name=systemd:/x\n", Some(3.0)),
            ("3:cpu:/free\n", None),
            ("3:cpu:/v1\n0::/a\n", Some(1.5)),
            ("nonsense\n", None),
            ("", None),
        ] {
            assert_eq!(quota(groups, read), expected, "{groups:?}");
        }
    }

    #[test]
    fn affinity_and_quota_together() {
        for (affinity, quota, expected) in
            [(8, None, 8), (8, Some(2.5), 3), (8, Some(0.2), 1), (2, Some(16.0), 2), (0, None, 1)]
        {
            assert_eq!(combine(affinity, quota), expected);
        }
        assert!(cfg!(miri) || cpus_available() >= 1);
    }
}
