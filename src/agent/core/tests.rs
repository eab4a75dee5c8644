//! One test for each rule of the pod's contract: events in, effects and report out.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Core, Effect, Event, Lot, Pace, Publication, Rendered, Rendering};
use crate::api::{ManifestDigest, PointedVersion, Pointer};

const PACE: Pace = Pace { retry_first: secs(1), retry_max: secs(30), age_floor: secs(3600), load_spread: secs(0), lot: Lot::Last };

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn version(name: &str) -> PointedVersion {
    PointedVersion {
        version: name.into(),
        digest: digest(name),
        manifest_url: format!("http://store/.rollcall/manifests/{name}.json"),
        base_url: "https://cdn.example.com/".into(),
        fallback: None,
    }
}

fn digest(name: &str) -> ManifestDigest {
    ManifestDigest::of(name.as_bytes())
}

fn pointer(active: Option<&str>, candidate: Option<&str>, previous: Option<&str>, stage: i64, sequence: i64) -> Pointer {
    let (active, candidate, previous) = (active.map(version), candidate.map(version), previous.map(version));
    Pointer { active, candidate, previous, stage, sequence, ..Pointer::empty() }
}

/// A core, the time, and everything it asked for.
struct Life {
    core: Core,
    now: Duration,
    effects: Vec<Effect>,
}

impl Life {
    fn begun(rendering: Rendering, held: &[&str]) -> Self {
        let held: BTreeSet<_> = held.iter().map(|name| digest(name)).collect();
        let core = Core::new(("pod-1".into(), "life-1".into()), "shop-assets", rendering, PACE, held);
        let mut life = Self { core, now: secs(0), effects: Vec::new() };
        life.on(Event::Tick);
        life
    }

    /// Announced, and the announcement acknowledged.
    fn announced() -> Self {
        let mut life = Self::begun(Rendering::Agent, &[]);
        life.acknowledge();
        life
    }

    /// Ready with version `v1`.
    fn ready() -> Self {
        let mut life = Self::announced();
        life.read(pointer(Some("v1"), None, None, 1, 1));
        life.loaded("v1");
        life.switched("v1");
        life.acknowledge();
        assert!(life.publication().ready);
        life
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.core.handle(event, self.now);
        self.effects.extend(effects.clone());
        effects
    }

    fn at(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = secs(seconds);
        self.on(Event::Tick)
    }

    fn acknowledge(&mut self) -> Vec<Effect> {
        let revision = self.publication().revision;
        self.on(Event::Acknowledged { revision })
    }

    fn read(&mut self, pointer: Pointer) -> Vec<Effect> {
        let answers = self.reads();
        self.on(Event::PointerRead { answers, pointer })
    }

    fn changed(&mut self, pointer: Pointer) -> Vec<Effect> {
        self.on(Event::PointerChanged { pointer })
    }

    fn loaded(&mut self, name: &str) -> Vec<Effect> {
        self.on(Event::Loaded { version: version(name) })
    }

    fn switched(&mut self, name: &str) -> Vec<Effect> {
        self.on(Event::Switched { version: version(name) })
    }

    fn failed(&mut self, name: &str, problem: &str) -> Vec<Effect> {
        self.on(Event::LoadFailed { digest: digest(name), problem: problem.into() })
    }

    fn reads(&self) -> u64 {
        let reads = self.effects.iter().filter(|effect| matches!(effect, Effect::ReadPointer { .. }));
        reads.count() as u64
    }

    fn publication(&self) -> Publication {
        self.core.publication().expect("published at once").clone()
    }

    fn available(&self) -> Vec<ManifestDigest> {
        self.publication().report.available
    }
}

fn digests(names: &[&str]) -> Vec<ManifestDigest> {
    let sorted: BTreeSet<_> = names.iter().map(|name| digest(name)).collect();
    sorted.into_iter().collect()
}

fn loads(effects: &[Effect]) -> Vec<&str> {
    let mut names = Vec::new();
    for effect in effects {
        if let Effect::Load(version) = effect {
            names.push(version.version.as_str());
        }
    }
    names
}

/// I2: a read before the announcement is seen could miss a flip that did not wait for this pod.
#[test]
fn the_pointer_is_read_only_after_the_announcement_was_acknowledged() {
    let mut life = Life::begun(Rendering::Agent, &[]);
    assert!(life.publication().report.joining);
    assert_eq!(life.publication().reason, "Joining");
    assert_eq!(life.at(100), [], "nothing happens before the acknowledgement");
    assert_eq!(life.acknowledge(), [Effect::ReadPointer { number: 1 }]);
    assert_eq!(life.acknowledge(), [], "once");
}

#[test]
fn what_an_earlier_life_left_is_reported_but_does_not_make_the_pod_ready() {
    let life = Life::begun(Rendering::Agent, &["v1"]);
    let publication = life.publication();
    assert_eq!(publication.report.available, digests(&["v1"]));
    assert!(publication.report.joining && !publication.ready);
}

/// I2.
#[test]
fn first_ready_needs_active_candidate_and_previous() {
    let mut life = Life::announced();
    let effects = life.read(pointer(Some("v2"), Some("v3"), Some("v1"), 3, 2));
    assert_eq!(loads(&effects), ["v2", "v3", "v1"]);
    for name in ["v2", "v3"] {
        life.loaded(name);
    }
    life.switched("v2");
    assert!(!life.publication().ready, "previous is missing");
    assert_eq!(life.publication().reason, "Loading");
    life.loaded("v1");
    assert!(life.publication().ready);
    assert_eq!(life.publication().reason, "Available");
}

/// I2: also what the pointer names by then.
#[test]
fn a_pointer_that_moves_before_the_first_ready_adds_to_what_is_needed() {
    let mut life = Life::announced();
    life.read(pointer(Some("v1"), Some("v2"), None, 1, 1));
    assert_eq!(loads(&life.changed(pointer(Some("v1"), Some("v3"), None, 2, 1))), ["v3"]);
    for name in ["v1", "v2"] {
        life.loaded(name);
    }
    life.switched("v1");
    assert!(!life.publication().ready);
    life.loaded("v3");
    assert!(life.publication().ready);
}

/// I12: an unstaged candidate frees a pod that could not load it.
#[test]
fn a_candidate_that_cannot_be_loaded_holds_back_a_new_pod_only_until_it_is_unstaged() {
    let mut life = Life::announced();
    life.read(pointer(Some("v1"), Some("bad"), None, 1, 1));
    life.loaded("v1");
    life.switched("v1");
    life.failed("bad", "404");
    assert!(!life.publication().ready);
    life.changed(pointer(Some("v1"), None, None, 1, 1));
    assert!(life.publication().ready);
    assert_eq!(life.publication().report.problem, None);
}

/// I12.
#[test]
fn a_later_candidate_never_takes_readiness_away() {
    let mut life = Life::ready();
    life.changed(pointer(Some("v1"), Some("bad"), None, 2, 1));
    assert!(life.publication().ready);
    life.failed("bad", "no space left");
    let publication = life.publication();
    assert!(publication.ready && publication.settled);
    assert_eq!(publication.reason, "Problem");
    assert_eq!(publication.report.problem.unwrap().into_string(), format!("version \"bad\" ({}): no space left", digest("bad").short()));
    assert_eq!(publication.report.stage, 2);
}

#[test]
fn a_failed_load_is_repeated_with_a_growing_delay() {
    let mut life = Life::ready();
    life.changed(pointer(Some("v1"), Some("v2"), None, 2, 1));
    for (failed_at, due) in [(10, 11), (11, 13), (13, 17)] {
        life.now = secs(failed_at);
        life.failed("v2", "503");
        assert_eq!(life.core.wake_at(), Some(secs(due)));
        assert!(loads(&life.at(due - 1)).is_empty() || due - 1 == failed_at);
        assert_eq!(loads(&life.at(due)), ["v2"]);
    }
    assert_eq!(PACE.delay(40), secs(30));
    life.loaded("v2");
    assert_eq!((life.publication().report.problem, life.core.wake_at()), (None, None));
}

/// A Ready pod with this pace, to which a candidate is shown at second 100.
fn with_a_candidate(pace: Pace) -> Life {
    let mut life = Life::ready();
    life.core.pace = pace;
    life.now = secs(100);
    assert_eq!(loads(&life.changed(pointer(Some("v1"), Some("v2"), None, 2, 1))), [] as [&str; 0]);
    life
}

#[test]
fn a_ready_pod_begins_a_load_at_a_moment_of_its_own_and_what_pages_refer_to_at_once() {
    let spread = Pace { load_spread: secs(2), ..PACE };
    let mut life = with_a_candidate(spread);
    assert_eq!((life.core.wake_at(), loads(&life.at(101))), (Some(secs(102)), vec![]));
    assert_eq!(loads(&life.at(102)), ["v2"]);
    let mut life = with_a_candidate(spread);
    life.changed(pointer(Some("v1"), None, None, 3, 1));
    assert_eq!((life.core.wake_at(), loads(&life.at(200))), (None, vec![]), "nobody wants it any more");
    let mut life = with_a_candidate(spread);
    assert_eq!(loads(&life.changed(pointer(Some("v2"), None, Some("v1"), 2, 2))), ["v2"], "break-glass: pages refer to it now");
    let mut life = Life::announced();
    life.core.pace = spread;
    assert_eq!(loads(&life.read(pointer(Some("v1"), Some("v2"), None, 2, 1))), ["v1", "v2"], "a pod that is not Ready waits for them");
}

/// The arithmetic of docs/performance.md: ten thousand agents of which none knows of another one.
#[test]
fn ten_thousand_agents_neither_begin_nor_repeat_in_the_same_moment() {
    let of = |agent: u32| Pace { load_spread: secs(2), lot: Lot::of(&format!("life-{agent}")), ..PACE };
    let most_within_100_ms = |time: &dyn Fn(Pace) -> Duration| {
        let mut within = std::collections::BTreeMap::<u128, u32>::new();
        (0..10_000).for_each(|agent| *within.entry(time(of(agent)).as_millis() / 100).or_default() += 1);
        within.into_values().max().unwrap()
    };
    // 500 and 1,000 on average.
    assert!(most_within_100_ms(&|pace| pace.begin_after(7)) < 650);
    assert!(most_within_100_ms(&|pace| pace.delay(2)) < 1_150);
    assert!((0..10_000).map(of).all(|pace| (secs(1)..=secs(2)).contains(&pace.delay(2)) && pace.begin_after(7) < secs(2)));
    let firsts = |stage| (0..10_000).min_by_key(|agent| of(*agent).begin_after(stage));
    assert_ne!(firsts(7), firsts(8), "another stage has another order");
}

#[test]
fn a_candidate_that_nobody_wants_any_more_is_abandoned() {
    let mut life = Life::ready();
    life.changed(pointer(Some("v1"), Some("v2"), None, 2, 1));
    let effects = life.changed(pointer(Some("v1"), Some("v3"), None, 3, 1));
    assert_eq!(loads(&effects), ["v3"]);
    assert!(effects.contains(&Effect::Abandon(digest("v2"))));
    assert_eq!(loads(&life.changed(pointer(Some("v1"), Some("v2"), None, 4, 1))), ["v2"], "wanted again");
}

/// I11: the switch follows the flip, and only to what is completely here.
#[test]
fn pages_switch_when_the_active_version_changes_and_is_here() {
    let mut life = Life::ready();
    life.changed(pointer(Some("v1"), Some("v2"), None, 2, 1));
    let effects = life.loaded("v2");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::BeginServing(_))), "a candidate is not served");
    assert_eq!(life.available(), digests(&["v1", "v2"]));
    assert_eq!(life.publication().report.stage, 2);
    let effects = life.changed(pointer(Some("v2"), None, Some("v1"), 2, 2));
    assert!(effects.contains(&Effect::BeginServing(version("v2"))));
    assert_eq!(life.publication().report.serving, Some(digest("v1")), "not before it is done");
    life.switched("v2");
    assert_eq!(life.publication().report.serving, Some(digest("v2")));
    assert_eq!(life.publication().report.sequence, 2);
}

/// I11: a pod that was skipped at the flip goes on with the page that it can serve.
#[test]
fn an_active_version_that_is_not_here_is_not_served_and_the_old_one_stays() {
    let mut life = Life::ready();
    assert_eq!(loads(&life.changed(pointer(Some("v2"), None, Some("v1"), 2, 2))), ["v2"]);
    life.failed("v2", "503");
    let publication = life.publication();
    assert!(publication.ready && publication.report.problem.is_some());
    assert_eq!(publication.report.serving, Some(digest("v1")));
    life.loaded("v2");
    life.switched("v2");
    assert_eq!(life.publication().report.serving, Some(digest("v2")));
}

#[test]
fn a_switch_that_fails_is_reported_and_repeated() {
    let mut life = Life::announced();
    life.read(pointer(Some("v1"), None, None, 1, 1));
    life.loaded("v1");
    life.on(Event::SwitchFailed { problem: "volume is read-only".into() });
    assert_eq!(life.publication().report.problem.as_deref(), Some("volume is read-only"));
    assert!(life.at(1).contains(&Effect::BeginServing(version("v1"))));
    life.switched("v1");
    assert!(life.publication().ready);
}

#[test]
fn losing_the_active_version_takes_readiness_away_until_it_is_back() {
    let mut life = Life::ready();
    let effects = life.on(Event::Lost { digest: digest("v1") });
    assert_eq!(loads(&effects), ["v1"]);
    assert!(!life.publication().ready);
    assert_eq!((life.available(), life.publication().report.serving), (vec![], None));
    life.loaded("v1");
    life.switched("v1");
    assert!(life.publication().ready);
}

#[test]
fn without_an_active_version_the_pod_reports_the_candidate_and_is_not_ready() {
    let mut life = Life::announced();
    life.read(pointer(None, Some("v1"), None, 1, 0));
    life.loaded("v1");
    let publication = life.publication();
    assert!(publication.report.has(&digest("v1"), 1) && !publication.ready);
    assert_eq!(publication.reason, "NoActiveVersion");
    life.changed(pointer(Some("v1"), None, None, 1, 1));
    life.switched("v1");
    assert!(life.publication().ready);
}

#[test]
fn before_the_first_release_a_missing_or_empty_pointer_is_no_problem_however_often_it_is_read() {
    for first in [Event::PointerMissing { answers: 1 }, Event::PointerRead { answers: 1, pointer: Pointer::empty() }] {
        let mut life = Life::announced();
        life.on(first);
        for _ in 0..3 {
            life.on(Event::PointerMissing { answers: 1 });
            let publication = life.publication();
            assert_eq!((publication.report.problem, publication.reason), (None, "NoActiveVersion"));
            assert!(!publication.report.joining);
        }
    }
}

#[test]
fn a_pointer_that_is_gone_is_a_problem_once_something_was_staged() {
    let mut life = Life::announced();
    life.read(pointer(None, Some("v1"), None, 1, 0));
    life.on(Event::PointerMissing { answers: 1 });
    assert!(life.publication().report.problem.unwrap().contains("gone"));
    let mut life = Life::ready();
    life.on(Event::PointerMissing { answers: 1 });
    let publication = life.publication();
    assert!(publication.ready && publication.report.problem.unwrap().contains("gone"));
    assert_eq!((publication.report.sequence, life.available()), (1, digests(&["v1"])));
}

/// I4: a copy that was put back must not move pages, and the newer sequence stays in the report.
#[test]
fn a_pointer_that_goes_back_is_not_followed() {
    let mut life = Life::ready();
    life.changed(pointer(Some("v2"), None, Some("v1"), 2, 2));
    life.loaded("v2");
    life.switched("v2");
    for older in [pointer(Some("v1"), None, None, 1, 1), pointer(None, None, None, 0, 0)] {
        assert_eq!(loads(&life.changed(older)), [] as [&str; 0]);
        let report = life.publication().report;
        assert_eq!((report.serving, report.sequence), (Some(digest("v2")), 2));
        assert!(report.problem.unwrap().contains("went back from sequence 2"));
    }
    life.changed(pointer(Some("v2"), None, Some("v1"), 2, 2));
    assert_eq!(life.publication().report.problem, None);
}

#[test]
fn an_unreadable_pointer_changes_nothing_but_the_report() {
    let mut life = Life::ready();
    life.on(Event::PointerUnreadable { problem: "pointer protocol 9 is not known here".into() });
    let publication = life.publication();
    assert!(publication.ready);
    assert!(publication.report.problem.unwrap().contains("protocol 9"));
    assert_eq!(publication.report.serving, Some(digest("v1")));
}

/// I11: what an application renders is known only to the application.
#[test]
fn with_an_application_only_what_it_confirmed_is_reported_as_served() {
    let mut life = Life::begun(Rendering::Application, &["v1"]);
    life.acknowledge();
    life.read(pointer(Some("v1"), None, None, 1, 1));
    life.switched("v1");
    assert_eq!(life.publication().report.serving, None);
    life.on(Event::Confirmed { rendered: Some(rendering("v0", None)) });
    assert_eq!(life.publication().report.serving, Some(digest("v0")), "the truth, wanted or not");
    life.on(Event::Confirmed { rendered: None });
    assert_eq!(life.publication().report.serving, None);
}

fn rendering(version: &str, sequence: Option<i64>) -> Rendered {
    Rendered { digest: digest(version), sequence }
}

/// What is reported as served, and for which flip.
fn served(life: &Life) -> (Option<ManifestDigest>, Option<i64>) {
    let report = life.publication().report;
    (report.serving, report.serving_sequence)
}

/// I9: the same version is flipped to again, at other URLs. An application that says for which flip it has its name map has not followed
/// before it says so; of one that does not, only the version is known.
#[test]
fn an_application_that_names_the_flip_has_not_followed_one_to_the_same_version_before_it_says_so() {
    let mut life = with_an_application_on(Some("v1"));
    assert_eq!(served(&life), (Some(digest("v1")), None));
    life.on(Event::Confirmed { rendered: Some(rendering("v1", Some(1))) });
    assert_eq!((served(&life), life.publication().map_sequence), ((Some(digest("v1")), Some(1)), 1));
    let moved = PointedVersion { base_url: "https://elsewhere.example.com/".into(), ..version("v1") };
    let old = Pointer { previous: Some(version("v1")), ..pointer(Some("v1"), None, None, 2, 2) };
    life.changed(Pointer { active: Some(moved.clone()), ..old });
    life.on(Event::Switched { version: moved });
    assert_eq!((served(&life), life.publication().map_sequence), ((Some(digest("v1")), Some(1)), 2), "it has the map of before");
    assert!(life.publication().ready);
    life.on(Event::Confirmed { rendered: Some(rendering("v1", Some(2))) });
    assert_eq!(served(&life), (Some(digest("v1")), Some(2)));
}

/// A number from nowhere must not let a flip converge.
#[test]
fn no_application_is_believed_to_have_a_later_name_map_than_the_agent() {
    let mut life = with_an_application_on(Some("v1"));
    life.on(Event::Confirmed { rendered: Some(rendering("v1", Some(1_000_000))) });
    assert_eq!(served(&life), (Some(digest("v1")), Some(1)));
    let mut begun = Life::begun(Rendering::Application, &["v1"]);
    begun.on(Event::Confirmed { rendered: Some(rendering("v1", Some(5))) });
    assert_eq!(served(&begun), (Some(digest("v1")), Some(0)), "the agent serves nothing yet");
}

/// An application beside the agent, the active version loaded, of which the application says that it renders this one.
fn with_an_application_on(rendered: Option<&str>) -> Life {
    let mut life = Life::begun(Rendering::Application, &["v1"]);
    life.acknowledge();
    life.read(pointer(Some("v1"), None, None, 1, 1));
    life.switched("v1");
    life.on(Event::Confirmed { rendered: rendered.map(|version| rendering(version, None)) });
    life
}

/// Flips to this version, which is loaded and switched to at once.
fn flipped(life: &mut Life, to: &str, from: &str, number: i64) {
    life.changed(pointer(Some(from), Some(to), None, number, number - 1));
    life.loaded(to);
    life.changed(pointer(Some(to), None, Some(from), number, number));
    life.switched(to);
}

/// I11: an application that reads the name map once, while it boots.
#[test]
fn an_application_that_began_with_an_older_version_is_not_ready_before_it_renders_the_active_one() {
    let mut life = with_an_application_on(None);
    assert!(!life.publication().ready, "nobody knows what it renders");
    flipped(&mut life, "v2", "v1", 2);
    life.on(Event::Confirmed { rendered: Some(rendering("v1", None)) });
    assert!(!life.publication().ready, "the first Ready needs the active version");
    life.on(Event::Confirmed { rendered: Some(rendering("v2", None)) });
    assert!(life.publication().ready);
}

/// I11: pods that were born after the next flip but one lack what its pages refer to.
#[test]
fn a_pod_is_not_ready_while_it_renders_what_is_neither_active_nor_previous() {
    let mut life = with_an_application_on(Some("v1"));
    flipped(&mut life, "v2", "v1", 2);
    assert!(life.publication().ready, "the previous version may be rendered");
    for unknown in [Some("v1"), None] {
        life.on(Event::Confirmed { rendered: unknown.map(|version| rendering(version, None)) });
    }
    assert!(life.publication().ready, "an application that cannot be asked for a moment renders what it rendered before");
    flipped(&mut life, "v3", "v2", 3);
    assert_eq!((life.publication().ready, life.publication().reason), (false, "Outdated"));
    assert!(life.at(10_000).iter().all(|effect| !matches!(effect, Effect::Publish(_))), "what it may render is kept");
    life.on(Event::Confirmed { rendered: Some(rendering("v3", None)) });
    assert_eq!((life.publication().ready, life.publication().reason), (true, "Available"));
}

/// Ready with `v2`; `v1` is held and unneeded since second 0.
fn with_an_unneeded_version() -> Life {
    let mut life = Life::ready();
    life.changed(pointer(Some("v2"), None, None, 2, 2));
    life.loaded("v2");
    life.switched("v2");
    life.acknowledge();
    life
}

/// I2: withdraw, acknowledge, read again, delete.
#[test]
fn a_version_goes_only_after_withdrawal_acknowledgement_and_another_read() {
    let mut life = with_an_unneeded_version();
    assert_eq!(life.at(3599), [], "open tabs still ask for it");
    assert_eq!(life.core.wake_at(), Some(secs(3600)));
    let effects = life.at(3600);
    assert!(matches!(&effects[..], [Effect::Publish(_)]), "only withdrawn: {effects:?}");
    assert_eq!(life.available(), digests(&["v2"]));
    let before = life.publication().revision - 1;
    assert_eq!(life.on(Event::Acknowledged { revision: before }), [], "an older report is no withdrawal");
    assert_eq!(life.acknowledge(), [Effect::ReadPointer { number: 2 }]);
    let same = pointer(Some("v2"), None, None, 2, 2);
    assert_eq!(life.on(Event::PointerRead { answers: 1, pointer: same.clone() }), [], "a read that began before");
    assert_eq!(life.changed(same.clone()), [], "the watch may be late");
    assert_eq!(life.read(same), [Effect::Evict(digest("v1"))]);
    assert_eq!(life.on(Event::Evicted { digest: digest("v1") }), []);
}

#[test]
fn a_version_that_is_wanted_again_before_it_was_deleted_stays() {
    let mut life = with_an_unneeded_version();
    life.at(3600);
    life.acknowledge();
    let effects = life.read(pointer(Some("v2"), Some("v1"), None, 3, 2));
    assert!(!effects.contains(&Effect::Evict(digest("v1"))));
    assert_eq!(life.available(), digests(&["v1", "v2"]));
}

#[test]
fn a_version_that_is_wanted_again_while_it_is_deleted_is_loaded_again() {
    let mut life = with_an_unneeded_version();
    life.at(3600);
    life.acknowledge();
    life.read(pointer(Some("v2"), None, None, 2, 2));
    assert_eq!(loads(&life.changed(pointer(Some("v2"), Some("v1"), None, 3, 2))), [] as [&str; 0]);
    assert_eq!(life.available(), digests(&["v2"]), "never reported while it goes");
    assert_eq!(loads(&life.on(Event::Evicted { digest: digest("v1") })), ["v1"]);
}

#[test]
fn doubt_about_the_pointer_keeps_a_withdrawn_version() {
    for doubt in [Event::PointerMissing { answers: 2 }, Event::PointerUnreadable { problem: "x".into() }] {
        let mut life = with_an_unneeded_version();
        life.at(3600);
        life.acknowledge();
        assert!(!life.on(doubt).contains(&Effect::Evict(digest("v1"))));
        let effects = life.read(pointer(Some("v2"), None, None, 2, 2));
        assert!(effects.contains(&Effect::Evict(digest("v1"))), "when the pointer is back: {effects:?}");
    }
}

#[test]
fn what_is_served_or_confirmed_never_goes() {
    let mut life = Life::ready();
    life.changed(pointer(Some("v2"), None, None, 2, 2));
    life.failed("v2", "503");
    assert_eq!(life.at(10_000).iter().filter(|effect| matches!(effect, Effect::Publish(_))).count(), 0);
    assert_eq!(life.available(), digests(&["v1"]));

    let mut life = with_an_unneeded_version();
    life.on(Event::Confirmed { rendered: Some(rendering("v1", None)) });
    life.at(10_000);
    assert_eq!(life.available(), digests(&["v1", "v2"]));
}

#[test]
fn a_version_that_could_not_be_deleted_is_reported_again() {
    let mut life = with_an_unneeded_version();
    life.at(3600);
    life.acknowledge();
    life.read(pointer(Some("v2"), None, None, 2, 2));
    life.on(Event::EvictFailed { digest: digest("v1") });
    assert_eq!(life.available(), digests(&["v1", "v2"]));
    assert_eq!(life.core.wake_at(), Some(secs(7200)), "after another age");
}

#[test]
fn a_report_is_published_only_when_it_changes() {
    let mut life = Life::ready();
    let revision = life.publication().revision;
    for event in [Event::Tick, Event::Acknowledged { revision: 1 }, Event::Loaded { version: version("v1") }] {
        assert_eq!(life.on(event), []);
    }
    assert_eq!(life.publication().revision, revision);
}

mod any_order {
    //! What holds in whatever order events come.

    use proptest::prelude::*;

    use super::*;

    fn any_version() -> impl Strategy<Value = Option<&'static str>> {
        prop_oneof![Just(None), Just(Some("v1")), Just(Some("v2")), Just(Some("v3"))]
    }

    fn any_pointer() -> impl Strategy<Value = Pointer> {
        (any_version(), any_version(), any_version(), 0..4_i64, 0..4_i64)
            .prop_map(|(active, candidate, previous, stage, sequence)| pointer(active, candidate, previous, stage, sequence))
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let name = prop_oneof![Just("v1"), Just("v2"), Just("v3")];
        prop_oneof![
            Just(Event::Tick),
            (0..20_u64).prop_map(|revision| Event::Acknowledged { revision }),
            (0..6_u64, any_pointer()).prop_map(|(answers, pointer)| Event::PointerRead { answers, pointer }),
            (0..6_u64).prop_map(|answers| Event::PointerMissing { answers }),
            any_pointer().prop_map(|pointer| Event::PointerChanged { pointer }),
            name.clone().prop_map(|name| Event::Loaded { version: version(name) }),
            name.clone().prop_map(|name| Event::LoadFailed { digest: digest(name), problem: "x".into() }),
            name.clone().prop_map(|name| Event::Switched { version: version(name) }),
            Just(Event::SwitchFailed { problem: "x".into() }),
            name.clone().prop_map(|name| Event::Confirmed { rendered: Some(rendering(name, None)) }),
            name.clone().prop_map(|name| Event::Evicted { digest: digest(name) }),
            name.clone().prop_map(|name| Event::EvictFailed { digest: digest(name) }),
            name.prop_map(|name| Event::Lost { digest: digest(name) }),
        ]
    }

    proptest! {
        /// I2, I11.
        #[test]
        fn rules_hold_in_any_order_of_events(events in prop::collection::vec((any_event(), 0..4000_u64), 0..60)) {
            let mut life = Life::begun(Rendering::Agent, &[]);
            for (event, passed) in events {
                life.now += secs(passed);
                let effects = life.on(event);
                let publication = life.publication();
                let report = &publication.report;
                if publication.ready {
                    prop_assert!(report.available.contains(report.serving.as_ref().expect("Ready serves something")));
                }
                for effect in &effects {
                    if let Effect::Evict(digest) = effect {
                        prop_assert!(!report.available.contains(digest), "reported while it goes");
                        prop_assert!(report.serving.as_ref() != Some(digest), "served while it goes");
                        prop_assert!(!life.core.is_wanted(digest), "wanted while it goes");
                    }
                    if let Effect::BeginServing(version) = effect {
                        prop_assert!(report.available.contains(&version.digest), "served although not here");
                    }
                }
                prop_assert!(life.core.wake_at().is_none_or(|at| at > life.now), "a timer that is always due is a hot loop");
            }
        }
    }
}
