//! The timer wheel with as many timers as there may be connections.

use divan::{Bencher, black_box};
use nuncio_reactor::{Time, Wheel};

fn main() {
    divan::main();
}

const ARMED: [u64; 3] = [0, 1_000, 100_000];
const MS: u64 = 1_000_000;

/// A wheel whose timers are spread over fifteen seconds.
fn wheel(armed: u64) -> Wheel<u64> {
    let mut wheel = Wheel::new();
    for n in 0..armed {
        wheel.arm(Time::from_nanos((n * 7919 % 15_000 + 1) * MS), n);
    }
    wheel
}

#[divan::bench(args = ARMED)]
fn arm_and_cancel(bencher: Bencher<'_, '_>, armed: u64) {
    let mut wheel = wheel(armed);
    bencher.bench_local(|| {
        let key = wheel.arm(black_box(Time::from_nanos(15_000 * MS)), 1);
        wheel.cancel(key)
    });
}

#[divan::bench(args = ARMED)]
fn next_deadline(bencher: Bencher<'_, '_>, armed: u64) {
    let wheel = wheel(armed);
    bencher.bench_local(|| black_box(&wheel).next_deadline());
}

/// A millisecond goes by; what fires is armed again.
#[divan::bench(args = ARMED)]
fn one_millisecond(bencher: Bencher<'_, '_>, armed: u64) {
    let mut wheel = wheel(armed);
    let (mut now, mut fired) = (0, Vec::new());
    bencher.bench_local(|| {
        now += 1;
        wheel.expire(Time::from_nanos(now * MS), |n| fired.push(n));
        for n in fired.drain(..) {
            wheel.arm(Time::from_nanos((now + 15_000) * MS), n);
        }
    });
}
