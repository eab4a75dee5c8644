//! Replicas in the decision, as tables of facts.

use super::*;
use crate::rollout::decide::decide;
use crate::rollout::decision::PointerChange;
use crate::rollout::fixture::*;
use crate::rollout::observed::Lacks;
use crate::rollout::status::{self, StepOutcome};

const PLACE: &str = "s3://assets-eu/";

fn facts(place: &str) -> ReplicaFacts {
    ReplicaFacts { name: "eu".into(), place: place.into() }
}

fn end_of(lacks: Lacks, failure: Option<&str>) -> ReplicaEnd {
    ReplicaEnd { name: "eu".into(), lacks, failure: failure.map(Into::into) }
}

fn whole() -> ReplicaEnd {
    end_of(Lacks::Keys(Vec::new()), None)
}

fn replicated(end: ReplicaEnd, second: i64) -> JobEnd {
    JobEnd::Replicated { replicas: vec![end], at: at(second) }
}

fn job_for(stage: i64) -> Job {
    Job::Replicate { version: "v2".into(), digest: digest("v2"), stage, store: STORE.into() }
}

fn fill() -> Job {
    Job::Backfill { replicas: vec!["eu".into()], store: STORE.into(), pages: None }
}

impl Observed {
    fn with_replica(mut self, place: &str) -> Self {
        if let StoreFacts::Usable { replicas, .. } = &mut self.store {
            replicas.push(facts(place));
        }
        self
    }

    fn ended(mut self, job: Job, end: JobEnd) -> Self {
        self.jobs.ended.retain(|(known, _)| *known != job);
        self.jobs.ended.push((job, end));
        self
    }

    fn admitted_at(mut self, place: &str) -> Self {
        let known = ReplicaStatus { name: "eu".into(), place: place.into(), admitted: true, missing: None, message: None };
        self.release.status.replicas.push(known);
        self
    }

    fn running(mut self, job: Job) -> Self {
        self.jobs.running = Some((job, crate::api::release::UploadStatus { objects_total: 7, objects_sent: 3, ..Default::default() }));
        self
    }
}

/// Every pod has the candidate, the store is verified, and only the replica decides.
fn ready_to_flip() -> Observed {
    let staged = fixture().after_v1().with_replica(PLACE).admitted_at(PLACE).staged();
    let stage = staged.found().unwrap().pointer.stage;
    staged.reporting("a", &["v1", "v2"], "v1").verified_for(stage, &[])
}

fn flips(observed: &Observed) -> bool {
    matches!(decide(observed).step, Step::WritePointer(write) if matches!(write.kind, PointerChange::Flip { .. }))
}

// I1
#[test]
fn nothing_is_staged_before_every_replica_has_it() {
    let verified = fixture().after_v1().with_replica(PLACE).admitted_at(PLACE).verified_for(3, &[]);
    let stage = verified.found().unwrap().pointer.stage + 1;
    let verified = verified.verified_for(stage, &[]);
    assert_eq!(decide(&verified).step, Step::StartJob(job_for(stage)));
    let lacking = verified.clone().ended(job_for(stage), replicated(end_of(Lacks::Keys(vec!["shop/a.js".into()]), None), 990));
    let decision = decide(&lacking);
    assert_eq!((decision.step, decision.blockers[0].reason()), (Step::Nothing, "ReplicaIncomplete"));
    assert_eq!(decide(&lacking.clone().at(at(1_020))).step, Step::StartJob(job_for(stage)), "half a minute later");
    let whole = verified.ended(job_for(stage), replicated(whole(), 990));
    assert!(matches!(decide(&whole).step, Step::WritePointer(write) if write.kind == PointerChange::Stage));
}

// I1
#[test]
fn no_flip_before_every_replica_has_it_for_this_staging() {
    let observed = ready_to_flip();
    let stage = observed.found().unwrap().pointer.stage;
    assert_eq!(decide(&observed).step, Step::StartJob(job_for(stage)), "nobody has looked");
    assert!(flips(&observed.clone().ended(job_for(stage), replicated(whole(), 990))));
    assert!(!flips(&observed.clone().ended(job_for(stage - 1), replicated(whole(), 990))), "that was for another staging");
    let failed = observed.clone().ended(job_for(stage), replicated(end_of(Lacks::Keys(Vec::new()), Some("no answer")), 990));
    assert!(!flips(&failed) && decide(&failed).blockers[0].doubts_the_store());
    let old = observed.ended(job_for(stage), replicated(whole(), 100));
    assert_eq!(decide(&old).step, Step::StartJob(job_for(stage)), "evidence of a quarter of an hour ago");
}

#[test]
fn a_failing_replica_says_which_and_what_to_do() {
    let failed = end_of(Lacks::Keys(Vec::new()), Some("create \"a\" was denied: 403"));
    let blocker = Blocker::ReplicaIncomplete { version: "v2".into(), replica: failed };
    assert_eq!(
        blocker.message(),
        "version \"v2\" is not activated before every replica has it: replica \"eu\": create \"a\" was denied: 403"
    );
    assert!(!blocker.stalls());
    let lacking = end_of(Lacks::Keys(vec!["b".into(), "a".into()]), None);
    assert_eq!(lacking.sentence(), "replica \"eu\" lacks 2 objects that the store lacks, too: a, b");
}

#[test]
fn a_replica_that_is_not_admitted_is_filled_when_nothing_else_is_to_be_done() {
    let active = fixture().after_v1().activated("v2").with_replica(PLACE).reporting("a", &["v2"], "v2");
    let decision = decide(&active);
    assert_eq!((decision.step, decision.wait), (Step::StartJob(fill()), Wait::Again));
    let filled = active.clone().ended(fill(), replicated(end_of(Lacks::Objects(0), None), 990));
    assert_eq!(decide(&filled).step, Step::Nothing);
    assert!(status(&filled)[0].admitted);
    let behind = active.clone().ended(fill(), replicated(end_of(Lacks::Objects(2), None), 990));
    let decision = decide(&behind);
    assert_eq!((decision.step, decision.wait), (Step::Nothing, Wait::Until(at(1_050))), "a minute after the last try");
    assert_eq!((status(&behind)[0].admitted, status(&behind)[0].message.is_some()), (false, true));
    assert_eq!(decide(&active.clone().admitted_at(PLACE)).step, Step::Nothing);
    assert_eq!(decide(&active.spec(|spec| spec.suspend = true)).step, Step::Nothing);
}

#[test]
fn a_back_fill_gives_way_to_every_other_job_and_to_nothing_else() {
    let active = fixture().after_v1().with_replica(PLACE);
    let running = active.running(fill());
    assert_eq!(status(&running)[0].missing, Some(4));
    assert_eq!(decide(&running).step, Step::CancelJob(fill()), "the new version is to be verified");
    let waiting = ready_to_flip();
    let stage = waiting.found().unwrap().pointer.stage;
    let waiting = waiting.ended(job_for(stage), replicated(whole(), 990));
    let mut waiting = waiting.running(fill());
    waiting.release.status.replicas.clear();
    assert!(flips(&waiting), "it runs on beside a flip");
    waiting.release.deleting = true;
    assert_eq!(decide(&waiting).step, Step::CancelJob(fill()));
}

// I1: it may have missed a flip.
#[test]
fn a_replica_at_another_place_is_not_the_one_that_was_admitted() {
    let moved = fixture().with_replica("s3://assets-us/").admitted_at(PLACE);
    let now = status(&moved);
    assert_eq!((now.len(), now[0].admitted, now[0].place.as_str()), (1, false, "s3://assets-us/"));
    assert!(are_to_be_filled(&moved.store, &moved.release.status));
    let fill_of_before = Job::Backfill { replicas: vec!["eu".into()], store: "store-uid/0".into(), pages: None };
    let moved = moved.ended(fill_of_before, replicated(end_of(Lacks::Objects(0), None), 990));
    assert!(!status(&moved)[0].admitted, "that was said of the store before");
}

// I1
#[test]
fn a_replica_that_was_taken_away_is_forgotten_before_the_next_flip() {
    let mut observed = fixture().after_v1().admitted_at(PLACE).staged().reporting("a", &["v1", "v2"], "v1");
    let stage = observed.found().unwrap().pointer.stage;
    observed = observed.verified_for(stage, &[]);
    let decision = decide(&observed);
    assert_eq!((&decision.step, decision.wait), (&Step::Nothing, Wait::Again));
    let next = status::next(&observed, &decision, StepOutcome::Done);
    assert!(next.replicas.is_empty());
    observed.release.status = next;
    assert!(flips(&observed));
}

#[test]
fn while_the_store_cannot_be_used_what_was_known_stays() {
    let mut observed = fixture().admitted_at(PLACE);
    observed.store = StoreFacts::Missing;
    assert_eq!(status(&observed), observed.release.status.replicas);
    assert!(!are_to_be_forgotten(&observed) && !are_to_be_filled(&observed.store, &observed.release.status));
}
