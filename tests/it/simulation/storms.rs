//! Storms: by seed, everything goes wrong that may, for two minutes; then calm, in which the wish must come true.
//! `ROLLCALL_SEEDS=500 cargo test --test it simulation::storms`, or `make soak`; `ROLLCALL_FIRST_SEED` begins elsewhere.

use rollcall::testing::builders::target;

use super::*;

/// Splitmix64, from the seed on.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        things.get(usize::try_from(self.roll(things.len().max(1) as u64)).unwrap())
    }
}

/// The two controllers of a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// They share a Lease.
    Elected,
    /// Neither knows of the other.
    Rivals,
}

/// One world in a storm: a first workload, often a second one of another kind, each with its channel.
struct Storm {
    dice: Dice,
    workloads: Vec<(&'static str, &'static str, Sidecar)>,
    company: Company,
    made: u32,
    silent: bool,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut channel = || if dice.roll(2) == 0 { Sidecar::Agent } else { Sidecar::HttpAgent };
        let mut workloads = vec![("Deployment", "web", channel())];
        let second = channel();
        match dice.roll(3) {
            0 => workloads.push(("StatefulSet", "shelf", second)),
            1 => workloads.push(("DaemonSet", "edge", second)),
            _ => {}
        }
        let company = if seed.is_multiple_of(2) { Company::Elected } else { Company::Rivals };
        Self { dice, workloads, company, made: 0, silent: false }
    }

    fn start_both(&self, world: &mut World) {
        match self.company {
            Company::Elected => world.hold_elections(),
            Company::Rivals => {
                world.kill_controller();
                world.kill_rival();
                world.start_controller();
                world.start_rival();
            }
        }
    }

    fn end_one(&mut self, world: &mut World) {
        if self.dice.roll(2) == 0 {
            world.kill_controller();
            world.start_controller();
        } else {
            world.kill_rival();
            world.start_rival();
        }
    }

    fn start_pod(&mut self, world: &World, nth: usize) {
        self.made += 1;
        let (_, workload, sidecar) = self.workloads[nth];
        world.start_pod_of(workload, &format!("p{}", self.made), sidecar);
    }

    async fn first_release(&mut self, world: &mut World) {
        let targets: Vec<_> = self.workloads.iter().map(|(kind, name, sidecar)| target(kind, name, *sidecar)).collect();
        for (kind, name, _) in self.workloads.iter().skip(1) {
            world.add_workload(kind, name);
        }
        for nth in 0..self.workloads.len() {
            self.start_pod(world, nth);
            self.start_pod(world, nth);
        }
        world.release("v1");
        let entries = if self.dice.roll(3) == 0 { "Bucket" } else { "Pods" };
        world.change_release(&json!({"targets": targets, "entries": {"publish": entries}}));
        settle(world).await;
    }

    /// One thing happens.
    fn strike(&mut self, world: &mut World) {
        let pods = world.pods();
        let one = self.dice.pick(&pods).cloned();
        match (self.dice.roll(18), one) {
            (0..=2, _) => world.release(&format!("v{}", 1 + self.dice.roll(5))),
            (3, Some(pod)) if world.is_ready(&pod) => world.restart_pod(&pod),
            (4, Some(pod)) if pods.len() > 1 => world.end_pod(&pod),
            (5, _) if pods.len() < 6 => {
                let nth = usize::try_from(self.dice.roll(self.workloads.len() as u64)).unwrap();
                self.start_pod(world, nth);
            }
            (6, _) => world.kill_controller(),
            (7, _) => world.server.compact(),
            (8, _) => {
                let (kind, name, sidecar) = *self.dice.pick(&self.workloads).unwrap();
                world.roll_out(kind, name, sidecar);
            }
            (9, Some(pod)) => {
                let late = Manner::Slow(Duration::from_secs(1 + self.dice.roll(40)));
                world.answer_in(&pod, *self.dice.pick(&[Manner::Garbage, Manner::OtherProtocol, late, Manner::Honest]).unwrap());
            }
            (10, Some(pod)) => world.hold_pages(&pod, if self.dice.roll(2) == 0 { Hold::Back } else { Hold::Off }),
            (11, _) => world.change_release(&json!({"suspend": self.dice.roll(3) == 0})),
            (12, _) if self.silent => self.node_returns(world),
            (12, _) => {
                world.silence_node("n2");
                self.silent = true;
            }
            (13, _) => world.break_loads(&format!("v{}", 1 + self.dice.roll(5))),
            (15..=16, Some(pod)) => world.set_probe(&pod, if self.dice.roll(2) == 0 { Probe::Fails } else { Probe::Succeeds }),
            (17, _) if self.company == Company::Elected => {
                world.hold_requests_of_the_leader(Duration::from_secs(1 + self.dice.roll(60)));
            }
            (14, Some(pod)) => world.deafen_pod(&pod, Duration::from_secs(self.dice.roll(30))),
            _ => {}
        }
    }

    fn node_returns(&mut self, world: &World) {
        world.return_node("n2");
        self.silent = false;
    }

    /// Everything that was broken is mended.
    fn calm(&mut self, world: &mut World) {
        world.end_storm();
        world.mend_loads();
        if self.silent {
            self.node_returns(world);
        }
        for pod in world.pods() {
            world.hold_pages(&pod, Hold::Off);
            world.answer_in(&pod, Manner::Honest);
            world.set_probe(&pod, Probe::Succeeds);
        }
        world.change_release(&json!({"suspend": false}));
        self.start_both(world);
    }
}

/// Two minutes in which anything may happen, and then calm.
async fn stormy(world: &mut World, seed: u64) {
    let mut storm = Storm::new(seed);
    storm.start_both(world);
    storm.first_release(world).await;
    world.begin_storm(seed);
    for _ in 0..24 {
        storm.strike(world);
        seconds(world, 1 + storm.dice.roll(8)).await;
        if storm.dice.roll(2) == 0 {
            storm.end_one(world);
        }
    }
    storm.calm(world);
    settle(world).await;
}

/// The newest wish may have been given up at its deadline while nothing could be loaded: then it is wished for once more.
async fn wish_again(world: &mut World) {
    if world.reason().as_deref() == Some("ProgressDeadlineExceeded") {
        world.release(if world.active().as_deref() == Some("v1") { "v2" } else { "v1" });
        settle(world).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|count| count.parse().ok()).unwrap_or(otherwise)
}

/// I1 to I4, I7, I9 to I12, whatever happens.
#[test]
fn no_storm_breaks_a_promise_and_after_it_the_wish_comes_true() {
    let mut lived = Duration::ZERO;
    let first = number("ROLLCALL_FIRST_SEED", 1);
    for seed in first..first + number("ROLLCALL_SEEDS", 10) {
        lived += run(async || {
            let mut world = World::new(seed);
            stormy(&mut world, seed).await;
            wish_again(&mut world).await;
            let about = format!("seed {seed}");
            assert_promises(&world, &about);
            let phase = world.status().phase.map(|phase| format!("{phase:?}"));
            assert_eq!(phase.as_deref(), Some("Active"), "{about}\n{}", world.trace.lines().join("\n"));
            world.age()
        });
    }
    println!("{} virtual seconds", lived.as_secs());
}

/// Of storms in which one leads: rivals publish at the same time, through files, which are written by threads.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed: u64| {
        run(async || {
            let mut world = World::new(seed);
            stormy(&mut world, seed).await;
            (trace::hash(&world.server), world.trace.lines())
        })
    };
    let hashes = [6, 8].map(|seed| {
        let (first, second) = (trace(seed), trace(seed));
        let differs = first.1.iter().zip(&second.1).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}: the first line that differs");
        assert_eq!(first.0, second.0, "seed {seed}");
        first.0
    });
    assert_ne!(hashes[0], hashes[1]);
}
