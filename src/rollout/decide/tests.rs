//! The rules as a table: a sentence, the facts, the step or the blocker.

use super::super::decision::PointerWrite;
use super::super::fixture::{STORE, at, contested_by, digest, failed, fixture, owner, pointed, record, seconds, verified, verify};
use super::super::observed::*;
use super::super::status::{self, StepOutcome};
use super::*;
use crate::api::release::{
    ActivatedVersion, ActivationMode, AssetReleaseSpec, BucketSource, CandidateStatus, EntriesStatus, GivenUp, OverrideSpec, ProceedOrWait,
    PublishedSource, SilentPods, SkippableGate, SourceSpec, UploadStatus, api_time,
};
use crate::manifest::Owner;

fn step(observed: &Observed) -> Step {
    decide(observed).step
}

fn pointer_write(observed: &Observed) -> PointerWrite {
    match step(observed) {
        Step::WritePointer(write) => *write,
        other => panic!("expected a write of the pointer, got {other:?}"),
    }
}

fn flips(observed: &Observed) -> bool {
    matches!(step(observed), Step::WritePointer(write) if matches!(write.kind, PointerChange::Flip { .. }))
}

fn first_reason(observed: &Observed) -> &'static str {
    let decision = decide(observed);
    assert_eq!(decision.step, Step::Nothing, "a blocked release takes no step");
    decision.blockers.first().map_or("none", Blocker::reason)
}

fn unstages(observed: &Observed) -> Option<UnstageReason> {
    match step(observed) {
        Step::WritePointer(write) => match write.kind {
            PointerChange::Unstage(reason) => Some(reason),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn the_release_is_taken_in_charge_before_anything_else() {
    let mut observed = fixture();
    observed.release.has_finalizer = false;
    assert_eq!(step(&observed), Step::AddFinalizer);
}

#[test]
fn a_missing_pointer_is_made_without_data() {
    let mut observed = fixture();
    observed.pointer = PointerFacts::Absent;
    assert_eq!(step(&observed), Step::CreatePointer);
}

/// I4: nothing is written over a pointer that is not ours.
#[test]
fn a_pointer_of_somebody_else_is_left_alone() {
    let mut contested = fixture();
    contested.pointer_mut().contest = Some(contested_by("argocd-controller"));
    assert_eq!(first_reason(&contested), "PointerContested");
    let mut taken = fixture();
    taken.pointer_mut().release = "other".into();
    assert_eq!(first_reason(&taken), "PointerTaken");
    let mut unreadable = fixture();
    unreadable.pointer = PointerFacts::Unreadable { cause: "protocol 9".into(), written_by: None };
    assert_eq!(first_reason(&unreadable), "PointerUnreadable");
}

#[test]
fn a_store_that_cannot_be_used_blocks_and_says_why() {
    let mut observed = fixture();
    observed.store = StoreFacts::Missing;
    assert_eq!(first_reason(&observed), "StoreMissing");
    observed.store = StoreFacts::Unusable(StoreProblem::SecretMissing("keys".into()));
    assert_eq!(first_reason(&observed), "CredentialsMissing");
    let mut faulty = fixture();
    faulty.prefix = PrefixFacts::Fault(BucketFault { reason: "StoreUnavailable", message: "refused".into() });
    assert_eq!(first_reason(&faulty), "StoreUnavailable");
}

#[test]
fn the_prefix_is_claimed_by_the_first_and_refused_to_others() {
    let mut observed = fixture();
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Nobody(owner("ns/shop")), record: None };
    assert_eq!(step(&observed), Step::StartJob(Job::Claim { owner: owner("ns/shop"), store: STORE.into() }));
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Other(owner("ns/other")), record: None };
    assert_eq!(first_reason(&observed), "PrefixOwned");
}

fn unpublished() -> Observed {
    let mut observed = fixture();
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Us, record: None };
    observed
}

fn publish_of(observed: &Observed) -> Job {
    publish_job(observed).unwrap()
}

#[test]
fn a_version_that_was_never_published_is_published() {
    let Step::StartJob(Job::Publish { version, source, .. }) = step(&unpublished()) else { panic!("expected a publish") };
    let BuildSource::Http(source) = source else { panic!("expected an archive") };
    assert_eq!((version.as_str(), source.url.as_str()), ("v2", "https://ci.example.com/{version}.tar.gz"));
}

#[test]
fn a_folder_in_a_bucket_is_published_like_an_archive_and_not_looked_at_once_the_version_is_recorded() {
    let bucket = BucketSource {
        name: "ci-builds".into(),
        region: "us-east-1".into(),
        endpoint: None,
        force_path_style: false,
        credentials: None,
        folder: "shop/{version}/".into(),
        digest: format!("sha256:{}", "0".repeat(64)),
    };
    let source = SourceSpec { bucket: Some(bucket.clone()), ..SourceSpec::default() };
    let from_folder = |spec: &mut AssetReleaseSpec| spec.source = Some(source.clone());
    let observed = unpublished().spec(from_folder);
    let job = publish_of(&observed);
    assert!(matches!(&job, Job::Publish { source: BuildSource::Bucket(of), .. } if *of == bucket), "{job:?}");
    assert_eq!(step(&observed), Step::StartJob(job));
    assert!(!matches!(step(&fixture().spec(from_folder)), Step::StartJob(Job::Publish { .. })));
}

#[test]
fn a_version_without_record_and_source_stalls() {
    let observed = unpublished().spec(|spec| spec.source = None);
    assert_eq!(first_reason(&observed), "SourceMissing");
}

#[test]
fn a_running_publish_is_waited_for_and_a_failed_one_is_tried_again_when_due() {
    let mut observed = unpublished();
    let job = publish_of(&observed);
    observed.jobs.running = Some((job.clone(), UploadStatus::default()));
    assert_eq!(first_reason(&observed), "Publishing");
    observed.jobs.running = None;
    observed.jobs.ended = vec![(job.clone(), failed(Some(at(1_005))))];
    assert_eq!(first_reason(&observed), "SourceUnavailable");
    assert_eq!(decide(&observed).wait, Wait::Until(at(1_005)));
    assert_eq!(step(&observed.at(at(1_005))), Step::StartJob(job));
}

#[test]
fn a_publish_that_time_cannot_mend_is_tried_again_only_on_request() {
    let mut observed = unpublished();
    observed.jobs.ended = vec![(publish_of(&observed), failed(None))];
    assert_eq!(first_reason(&observed), "SourceUnavailable");
    observed.release.requested_at = Some("now".into());
    assert!(matches!(step(&observed), Step::StartJob(Job::Publish { .. })));
}

#[test]
fn another_way_to_read_the_build_is_another_publish() {
    let mut observed = unpublished();
    observed.jobs.ended = vec![(publish_of(&observed), failed(None))];
    let mut observed = observed.spec(|spec| spec.build.manifest.format = crate::api::Format::Folder);
    let Step::StartJob(job) = step(&observed) else { panic!("expected a publish") };
    assert!(matches!(&job, Job::Publish { names, .. } if names.format == crate::api::Format::Folder));
    observed.jobs.running = Some((job.clone(), UploadStatus::default()));
    let renamed = observed.clone().spec(|spec| spec.build.manifest.path = Some("names.json".into()));
    assert_eq!(step(&renamed), Step::CancelJob(job.clone()));
    let mut observed = observed.spec(|spec| spec.build.external = vec!["config.js".into()]);
    assert_eq!(step(&observed), Step::CancelJob(job), "what others serve is a part of how the build is read");
    observed.jobs.running = None;
    assert!(matches!(step(&observed), Step::StartJob(Job::Publish { external, .. }) if external == ["config.js"]));
}

/// I8: a rollback uploads nothing and does not look at the source.
#[test]
fn a_recorded_version_is_verified_without_its_source() {
    let observed = fixture().after_v1().spec(|spec| spec.source = None);
    assert_eq!(step(&observed), Step::StartJob(verify(3)));
}

/// I1: nothing is staged before the store was asked for this very staging.
#[test]
fn staging_waits_for_the_store() {
    let observed = fixture().after_v1();
    let old = observed.clone().verified_for(2, &[]);
    assert!(matches!(step(&old), Step::StartJob(Job::Verify { stage: 3, .. })), "an earlier staging's answer does not count");
    let write = pointer_write(&observed.verified_for(3, &[]));
    assert_eq!(write.kind, PointerChange::Stage);
    assert_eq!(write.pointer.candidate, Some(pointed("v2")));
    assert_eq!((write.pointer.stage, write.pointer.sequence), (3, 2));
    assert_eq!(write.expected.resource_version, "7");
}

/// I1: objects that somebody deleted by hand are noticed, and published again where there is a source.
#[test]
fn lost_objects_are_published_again_or_named() {
    let observed = fixture().after_v1().verified_for(3, &["shop/a.js"]);
    assert!(matches!(step(&observed), Step::StartJob(Job::Publish { .. })));
    assert_eq!(first_reason(&observed.spec(|spec| spec.source = None)), "ObjectsMissing");
}

/// I2.
#[test]
fn the_flip_waits_for_every_pod_that_counts() {
    let staged = fixture().after_v1().staged().reporting("a", &["v1", "v2"], "v1");
    assert!(flips(&staged), "every pod has reported");
    let behind = staged.clone().reporting("b", &["v1"], "v1");
    assert_eq!(first_reason(&behind), "PodsMissing");
    assert_eq!(first_reason(&staged.clone().pod("b", ReportFacts::Silent)), "PodsMissing");
    assert_eq!(first_reason(&staged.pod("b", ReportFacts::Unusable("unknown protocol".into()))), "PodsMissing");
}

/// I2: the counter-example "without stage numbers in reports".
#[test]
fn a_report_for_an_earlier_staging_of_the_same_version_is_stale() {
    let first = fixture().after_v1().staged();
    let old_report = first.report(&["v1", "v2"], "v1");
    let again = first.with_pointer_restaged().pod("a", old_report);
    assert_eq!(first_reason(&again), "PodsMissing");
}

impl Observed {
    fn with_pointer_restaged(self) -> Self {
        let unstaged = self.found().unwrap().pointer.unstaged();
        self.with_pointer(unstaged).staged()
    }
}

/// I2: the counter-example "pods that are not Ready are exempt".
#[test]
fn a_pod_that_is_not_ready_counts_once_it_has_announced_itself() {
    let announced = fixture().after_v1().staged().reporting("a", &[], "").last_pod(|pod| pod.ready = false);
    assert_eq!(first_reason(&announced), "PodsMissing");
    let unannounced = fixture().after_v1().staged().pod("a", ReportFacts::Silent).last_pod(|pod| pod.ready = false);
    assert!(flips(&unannounced), "it reads the pointer after announcing itself, so it cannot become Ready without the candidate");
}

#[test]
fn over_http_every_bound_unfinished_pod_counts() {
    let over_http =
        |observed: Observed| observed.spec(|spec| spec.targets[0].report.http = Some(serde_json::from_str(r#"{"port":8080}"#).unwrap()));
    let pending = over_http(fixture().after_v1().staged()).pod("a", ReportFacts::Silent).last_pod(|pod| pod.ready = false);
    assert_eq!(first_reason(&pending), "PodsMissing");
    assert!(flips(&pending.clone().last_pod(|pod| pod.bound = false)), "a pod without a node has read nothing yet");
    assert!(flips(&pending.last_pod(|pod| pod.finished = true)));
}

#[test]
fn a_terminating_pod_counts_while_it_is_ready_however_it_reports() {
    let over_http =
        |observed: Observed| observed.spec(|spec| spec.targets[0].report.http = Some(serde_json::from_str(r#"{"port":8080}"#).unwrap()));
    let leaving = fixture().after_v1().staged().pod("a", ReportFacts::Silent).last_pod(|pod| pod.terminating = true);
    let announced = fixture().after_v1().staged().reporting("a", &["v0", "v1"], "v1").last_pod(|pod| pod.terminating = true);
    for leaving in [over_http(leaving.clone()), announced, leaving] {
        assert_eq!(first_reason(&leaving), "PodsMissing", "its endpoint serves");
        assert!(flips(&leaving.last_pod(|pod| pod.ready = false)));
    }
}

#[test]
fn in_the_first_release_only_pods_with_an_agent_count() {
    let live = fixture().staged().pod("old", ReportFacts::Silent).last_pod(|pod| pod.has_agent = false);
    assert!(flips(&live), "it does not follow the pointer yet");
    let later = fixture().activated("v1").staged().pod("old", ReportFacts::Silent).last_pod(|pod| pod.has_agent = false);
    assert_eq!(first_reason(&later), "PodsMissing", "from then on a page of the new version would miss its assets there");
}

/// I11: the counter-example "flaps": a pod whose probe failed for a moment is Ready again without a restart, on what it served before.
#[test]
fn no_second_flip_while_a_pod_that_is_not_ready_serves_the_version_before() {
    let ready = fixture().after_v1().staged().reporting("b", &["v0", "v1", "v2"], "v1");
    let flapping = ready.clone().reporting("a", &["v0", "v1", "v2"], "v0").last_pod(|pod| pod.ready = false);
    assert_eq!(first_reason(&flapping), "NotConverged");
    let message = decide(&flapping).blockers[0].message();
    assert!(message.contains("a (serves ") && message.contains("is not Ready: delete it if it stays so"), "{message}");
    let Wait::Until(again) = decide(&flapping).wait else { panic!("nothing tells that its node dies") };
    assert_eq!(again, at(1010));
    let serves_nothing = ready.clone().reporting("a", &["v0", "v1", "v2"], "").last_pod(|pod| pod.ready = false);
    assert!(flips(&serves_nothing), "who serves nothing does not count");
    let stopped = flapping.clone().last_pod(|pod| pod.agent_runs = false);
    assert!(flips(&stopped), "its next life announces itself before it may be Ready");
    let unreachable = |since| flapping.clone().last_pod(|pod| pod.unreachable_since = Some(at(since)));
    assert_eq!(decide(&unreachable(701)).wait, Wait::Until(at(1001)), "a node that does not answer excuses its pods after five minutes");
    assert!(flips(&unreachable(700)));
}

/// I11: the counter-example "without the converge gate"; nothing skips it.
#[test]
fn no_second_flip_while_a_ready_pod_serves_the_version_before() {
    let glass = |spec: &mut crate::api::AssetReleaseSpec| {
        let gates = vec![SkippableGate::EveryPodReported, SkippableGate::Approved, SkippableGate::PodsExist, SkippableGate::WorkloadsExist];
        spec.activation.r#override = Some(OverrideSpec { version: "v2".into(), gates, reason: "fire".into() });
    };
    let lagging = fixture().after_v1().staged().reporting("a", &["v0", "v1", "v2"], "v0");
    assert_eq!(first_reason(&lagging), "NotConverged");
    assert_eq!(first_reason(&lagging.spec(glass)), "NotConverged");
}

#[test]
fn the_view_of_the_pods_must_not_be_older_than_the_stage() {
    let mut observed = fixture().after_v1().staged();
    observed.targets[0].seen_since_stage = Some(2);
    assert_eq!(first_reason(&observed), "PodsUnseen");
    observed.targets[0].seen_since_stage = None;
    assert_eq!(first_reason(&observed), "PodsUnseen");
}

#[test]
fn missing_workloads_and_pods_block_as_the_spec_says() {
    let mut missing = fixture().after_v1().staged();
    missing.targets[0].standing = Standing::Missing;
    assert_eq!(first_reason(&missing), "WorkloadMissing");
    assert!(flips(&missing.spec(|spec| spec.activation.on_missing_workload = ProceedOrWait::Proceed)));
    let none = fixture().after_v1().staged();
    assert!(flips(&none), "no pods is vacuous truth");
    assert_eq!(first_reason(&none.spec(|spec| spec.activation.on_zero_replicas = ProceedOrWait::Wait)), "NoPods");
}

#[test]
fn manual_activation_waits_for_the_approval_of_this_very_version() {
    let manual = fixture().after_v1().staged().spec(|spec| spec.activation.mode = ActivationMode::Manual);
    assert_eq!(first_reason(&manual), "NotApproved");
    let wrong = manual.clone().spec(|spec| spec.activation.approved_version = Some("v1".into()));
    assert_eq!(first_reason(&wrong), "NotApproved", "approval is never implied");
    assert!(flips(&manual.spec(|spec| spec.activation.approved_version = Some("v2".into()))));
}

/// I1: the store is asked again when the controller has restarted during the roll call.
#[test]
fn a_staged_candidate_is_verified_again_after_a_restart() {
    let mut observed = fixture().after_v1().staged();
    observed.jobs = JobFacts::default();
    assert_eq!(step(&observed), Step::StartJob(verify(3)));
    observed.jobs.ended = vec![(verify(3), verified(&["shop/a.js"]))];
    assert_eq!(first_reason(&observed), "ObjectsMissing");
}

#[test]
fn a_flip_carries_sequence_previous_and_name_map() {
    let write = pointer_write(&fixture().after_v1().staged());
    assert_eq!((write.pointer.active, write.pointer.previous), (Some(pointed("v2")), Some(pointed("v1"))));
    assert_eq!((write.pointer.sequence, write.pointer.stage, write.pointer.candidate), (3, 3, None));
    assert_eq!(write.name_map.as_deref(), Some("{}"));
}

#[test]
fn break_glass_skips_named_gates_of_one_version_and_is_remembered() {
    let silent = fixture().after_v1().staged().reporting("a", &["v1"], "v1");
    let glass = |version: &str| {
        let it = OverrideSpec { version: version.into(), gates: vec![SkippableGate::EveryPodReported], reason: "fire".into() };
        move |spec: &mut crate::api::AssetReleaseSpec| spec.activation.r#override = Some(it)
    };
    assert_eq!(first_reason(&silent.clone().spec(glass("v1"))), "PodsMissing", "it was for another version");
    let write = pointer_write(&silent.spec(glass("v2")));
    assert_eq!(write.kind, PointerChange::Flip { overridden: vec![SkippableGate::EveryPodReported] });
    let mut missing = fixture().after_v1().staged().spec(glass("v2"));
    missing.jobs.ended = vec![(verify(3), verified(&["shop/a.js"]))];
    assert_eq!(first_reason(&missing), "ObjectsMissing", "never I1");
}

#[test]
fn silent_pods_are_excused_only_when_the_spec_says_so() {
    let silent = fixture().after_v1().staged().reporting("a", &["v1"], "v1").last_pod(|pod| {
        pod.report = ReportFacts::Silent;
        pod.has_agent = false;
    });
    let excusing = silent.spec(|spec| {
        spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
        spec.targets[0].excuse_after_seconds = Some(150);
    });
    assert_eq!(first_reason(&excusing), "PodsMissing");
    assert_eq!(decide(&excusing).wait, Wait::Until(at(1_050)));
    let later = excusing.at(at(1_050));
    assert!(flips(&later));
    assert_eq!(decide(&later).rolls[0].excused, ["a"]);
}

/// I11: nobody knows what a pod without an agent serves, so after the wait it is the user's word that counts; a pod that has an
/// agent, or ever said anything, is not excused from what it may still serve.
#[test]
fn only_a_pod_that_never_said_anything_is_excused_from_converging() {
    let excusing = |observed: Observed| {
        observed.spec(|spec| {
            spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
            spec.targets[0].excuse_after_seconds = Some(10);
        })
    };
    let silent = |pod: &mut PodFacts| pod.report = ReportFacts::Silent;
    let with_agent = excusing(fixture().after_v1().staged().reporting("a", &["v1"], "v1").last_pod(silent));
    assert_eq!(first_reason(&with_agent), "NotConverged", "its report is gone, and what it said with it");
    let serves_another = excusing(fixture().after_v1().staged().reporting("a", &["v0", "v1", "v2"], "v0"));
    assert_eq!(first_reason(&serves_another), "NotConverged");
    let without_agent = with_agent.last_pod(|pod| pod.has_agent = false);
    assert!(flips(&without_agent));
    let text = crate::rollout::converging::who_serves(&without_agent);
    assert!(text.ends_with("what they serve is unknown: a"), "I9: {text}");
    let just_flipped = without_agent.at(at(109));
    assert!(crate::rollout::converging::not_serving(&just_flipped).iter().any(|pod| pod.why == "has no agent"));
}

#[test]
fn a_pod_that_reports_a_problem_is_not_silent() {
    let mut observed = fixture().after_v1().staged().reporting("a", &["v1"], "v1").spec(|spec| {
        spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
        spec.targets[0].excuse_after_seconds = Some(1);
    });
    if let ReportFacts::Known(report) = &mut observed.targets[0].pods[0].report {
        std::sync::Arc::make_mut(report).problem = Some("disk full".into());
    }
    assert_eq!(first_reason(&observed), "PodsMissing");
    assert!(decide(&observed).blockers[0].message().contains("a (disk full)"));
}

#[test]
fn a_pod_on_a_node_that_does_not_answer_is_excused_after_five_minutes() {
    let observed = fixture().after_v1().staged().reporting("a", &["v1"], "v1").last_pod(|pod| {
        pod.ready = false;
        pod.unreachable_since = Some(at(950));
    });
    assert_eq!(first_reason(&observed), "PodsMissing");
    assert_eq!(decide(&observed).wait, Wait::Until(at(1_250)));
    assert!(flips(&observed.at(at(1_250))));
}

/// I12.
#[test]
fn a_candidate_is_given_up_at_its_deadline_and_not_tried_again_by_itself() {
    let waiting = fixture().after_v1().staged().reporting("a", &["v1"], "v1");
    assert_eq!(decide(&waiting).wait, Wait::Until(at(1_500)));
    let mut late = waiting.at(at(1_500));
    let Step::WritePointer(write) = step(&late) else { panic!("it is taken back at once") };
    assert_eq!((&write.kind, &write.pointer.candidate), (&PointerChange::Unstage(UnstageReason::DeadlineExceeded), &None));
    let given_up = write.pointer.given_up.clone().expect("in the same write");
    assert!(given_up.message.contains("a (loading)"), "{}", given_up.message);
    assert_eq!(GivenUp { message: "x".into(), ..given_up }, given_up_v2());
    late = late.with_pointer(write.pointer);
    assert_eq!(first_reason(&late), "ProgressDeadlineExceeded");
    late.release.requested_at = Some("again".into());
    assert!(matches!(step(&late), Step::StartJob(_)), "asked for by annotation");
    late.release.requested_at = None;
    late.release.generation = 4;
    assert!(matches!(step(&late), Step::StartJob(_)), "the spec has changed");
}

fn given_up_v2() -> GivenUp {
    GivenUp { version: "v2".into(), generation: 3, request: None, stage: Some(3), message: "x".into(), at: api_time(at(1_500)) }
}

/// I7, I12: whoever was given up is taken back first, even if the last pod has reported since or somebody asks for another attempt; the
/// next attempt has a stage number and a deadline of its own.
#[test]
fn a_candidate_that_was_given_up_is_taken_back_whatever_is_wished_since() {
    let mut late = fixture().after_v1().staged().reporting("a", &["v1", "v2"], "v1").at(at(1_500));
    assert_eq!(unstages(&late), Some(UnstageReason::DeadlineExceeded), "every gate holds, and the time is over");
    assert!(flips(&late.clone().at(at(1_499))));
    late.release.status.given_up = Some(given_up_v2());
    assert_eq!(unstages(&late), Some(UnstageReason::DeadlineExceeded));
    late.release.requested_at = Some("again".into());
    assert_eq!(unstages(&late), Some(UnstageReason::DeadlineExceeded));
    let mut next = late.with_pointer_unstaged().with_pointer_restaged().at(at(1_499));
    next.release.status.given_up = Some(given_up_v2());
    assert_eq!(unstages(&next), None, "the next staging has another number");
}

impl Observed {
    fn with_pointer_unstaged(self) -> Self {
        let unstaged = self.found().unwrap().pointer.unstaged();
        self.with_pointer(unstaged)
    }
}

#[test]
fn the_deadline_stands_still_while_only_approval_is_missing() {
    let manual = fixture().after_v1().staged().spec(|spec| spec.activation.mode = ActivationMode::Manual);
    let late = manual.at(at(9_000));
    assert_eq!(first_reason(&late), "NotApproved");
    let mut behind = late.reporting("a", &["v1"], "v1");
    let candidate = CandidateStatus {
        version: "v2".into(),
        digest: None,
        stage: Some(3),
        deadline_at: None,
        approval_wait_seconds: 7_000,
        awaiting_approval_since: Some(api_time(at(8_000))),
        upload: None,
        targets: Vec::new(),
    };
    behind.release.status.candidate = Some(candidate);
    assert_eq!(first_reason(&behind), "PodsMissing");
    let found = behind.found().unwrap();
    assert_eq!(deadline(&behind, found), at(900 + 600 + 7_000) + seconds(1_000));
}

/// Pre-emption, at every step.
#[test]
fn a_changed_spec_takes_the_candidate_back_and_cancels_its_work() {
    let staged = fixture().after_v1().staged();
    assert_eq!(unstages(&staged.clone().spec(|spec| spec.version = "v3".into())), Some(UnstageReason::Superseded));
    assert_eq!(unstages(&staged.clone().spec(|spec| spec.version = "v1".into())), Some(UnstageReason::Superseded));
    assert_eq!(unstages(&staged.spec(|spec| spec.suspend = true)), Some(UnstageReason::Suspended));
    let mut uploading = unpublished();
    let job = publish_of(&uploading);
    uploading.jobs.running = Some((job.clone(), UploadStatus::default()));
    assert_eq!(step(&uploading.clone().spec(|spec| spec.version = "v3".into())), Step::CancelJob(job.clone()));
    assert_eq!(step(&uploading.spec(|spec| spec.suspend = true)), Step::CancelJob(job));
}

#[test]
fn a_suspended_release_does_nothing() {
    assert_eq!(first_reason(&unpublished().spec(|spec| spec.suspend = true)), "Suspended");
}

#[test]
fn deletion_takes_the_candidate_back_and_then_lets_go() {
    let mut observed = fixture().after_v1().staged();
    observed.release.deleting = true;
    assert_eq!(unstages(&observed), Some(UnstageReason::Deleted));
    let mut unstaged = observed.with_pointer_unstaged();
    let end = Job::EndReferences { store: STORE.into() };
    assert_eq!(step(&unstaged), Step::StartJob(end.clone()), "I5: the time of what it used runs");
    unstaged.jobs.running = Some((end.clone(), UploadStatus::default()));
    assert_eq!(step(&unstaged), Step::Nothing, "it is being said");
    unstaged.jobs.running = None;
    for ended in [JobEnd::ReferencesEnded, failed(Some(at(2_000))), failed(None)] {
        unstaged.jobs.ended = vec![(end.clone(), ended)];
        assert_eq!(step(&unstaged), Step::RemoveFinalizer, "a release can always go");
    }
    unstaged.jobs.ended.clear();
    let gone = Observed { store: StoreFacts::Missing, ..unstaged.clone() };
    assert_eq!(step(&gone), Step::RemoveFinalizer, "so it can without its store");
    unstaged.release.has_finalizer = false;
    assert_eq!(step(&unstaged), Step::Nothing);
    unstaged.pointer = PointerFacts::Absent;
    assert_eq!(step(&unstaged), Step::Nothing, "and never makes a pointer");
}

/// I5: made anew under the same name or another one, it stages nothing, and the time of the object of before runs.
#[test]
fn an_object_that_takes_over_active_pages_writes_what_it_uses_whatever_else_it_waits_for() {
    let taken = |spoil: fn(&mut Observed)| {
        let mut observed = fixture().activated("v1").activated("v2");
        observed.release.status.references_written_by = Some("another-uid".into());
        spoil(&mut observed);
        observed
    };
    let write = Job::WriteReferences { store: STORE.into() };
    let spoilt: [fn(&mut Observed); 3] = [
        |_| {},
        |observed| observed.release.spec.suspend = true,
        |observed| observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Other(owner("ns/other")), record: None },
    ];
    for spoil in spoilt {
        let mut observed = taken(spoil);
        assert_eq!(step(&observed), Step::StartJob(write.clone()));
        observed.jobs.running = Some((write.clone(), UploadStatus::default()));
        assert_eq!(step(&observed), Step::Nothing, "it is not broken off");
        observed.jobs.running = None;
        observed.jobs.ended = vec![(write.clone(), failed(Some(at(2_000))))];
        let waiting = decide(&observed);
        assert_eq!((waiting.step.clone(), &waiting.wait), (Step::Nothing, &Wait::Until(at(2_000))));
        let told = status::next(&observed, &waiting, StepOutcome::Done);
        assert!(told.conditions.iter().any(|it| it.type_ == "RetentionBlocked" && it.message.contains("sweeps do not know of it")));
        observed.jobs.ended = vec![(write.clone(), JobEnd::ReferencesWritten)];
        let written = status::next(&observed, &decide(&observed), StepOutcome::Done);
        assert!(
            written.references_written_by.as_deref() == Some("release-uid")
                && written.conditions.iter().all(|it| it.type_ != "RetentionBlocked")
        );
        observed.jobs.ended.clear();
        observed.release.status.references_written_by = Some("release-uid".into());
        assert_ne!(step(&observed), Step::StartJob(write.clone()), "I7: once");
    }
    assert_ne!(step(&taken(|observed| observed.release.deleting = true)), Step::StartJob(write.clone()));
    assert_ne!(step(&taken(|observed| observed.store = StoreFacts::Missing)), Step::StartJob(write));
}

fn vanished_pointer() -> Observed {
    let mut observed = fixture();
    let known = |version: &str, sequence| ActivatedVersion {
        version: version.into(),
        digest: digest(version),
        sequence,
        activated_at: Some(api_time(at(100))),
        fallback: None,
    };
    observed.release.status.active = Some(known("v1", 4));
    observed.release.status.previous = Some(known("v0", 3));
    observed.release.status.last_stage = 9;
    observed.pointer = PointerFacts::Absent;
    observed
}

/// I4: sequence and stage go on.
#[test]
fn a_pointer_that_vanished_is_made_again_from_status() {
    let mut observed = vanished_pointer();
    assert_eq!(step(&observed), Step::CreatePointer);
    observed = observed.with_pointer(Pointer::empty());
    observed.jobs.ended = vec![(verify_v1(9), verified(&[]))];
    let write = pointer_write(&observed);
    assert_eq!(write.kind, PointerChange::Restore);
    assert_eq!((write.pointer.sequence, write.pointer.stage), (4, 9));
    assert_eq!((write.pointer.active, write.pointer.previous), (Some(pointed("v1")), Some(pointed("v0"))));
    assert_eq!(write.name_map.as_deref(), Some("{}"));
}

/// I8, I9: a page that nobody has seen in the build is not what agents are sent to; it is asked for with the next staging.
#[test]
fn a_lost_pointer_comes_back_with_the_fallback_that_it_had() {
    let mut observed = vanished_pointer().with_pointer(Pointer::empty());
    observed.release.spec.entries.fallback = Some("gone.html".into());
    observed.release.status.active.as_mut().unwrap().fallback = Some("index.html".into());
    observed.jobs.ended = vec![(verify_v1(9), verified(&[]))];
    let restored = pointer_write(&observed).pointer.active.unwrap();
    assert_eq!(restored.fallback.as_deref(), Some("index.html"));
}

fn verify_v1(stage: i64) -> Job {
    Job::Verify { digest: digest("v1"), stage, store: STORE.into(), flip: None, fallback: None }
}

/// Readers of the name map beside the pointer must not lose it: it is asked for before the pointer is written.
#[test]
fn a_pointer_that_vanished_gets_its_name_map_back() {
    let mut observed = vanished_pointer().with_pointer(Pointer::empty());
    assert_eq!(step(&observed), Step::StartJob(verify_v1(9)));
    observed.jobs.running = Some((verify_v1(9), UploadStatus::default()));
    assert_eq!(first_reason(&observed), "Verifying");
    observed.jobs.running = None;
    observed.jobs.ended = vec![(verify_v1(9), failed(Some(at(1_005))))];
    assert_eq!(decide(&observed).wait, Wait::Until(at(1_005)));
    assert_eq!(step(&observed.clone().at(at(1_005))), Step::StartJob(verify_v1(9)));
    let answered = |missing: &[&str], map: Option<&str>| {
        let mut observed = observed.clone();
        let missing = missing.iter().map(ToString::to_string).collect();
        observed.jobs.ended = vec![(verify_v1(9), JobEnd::Verified { missing, name_map: map.map(Into::into), headers: None, at: at(990) })];
        pointer_write(&observed).name_map
    };
    assert_eq!(answered(&["shop/a.js"], Some("{1}")).as_deref(), Some("{1}"), "pages refer to it already");
    assert_eq!(answered(&[], Some(&"x".repeat(NAME_MAP_BYTES_MAX + 1))), None, "too large: readers follow the manifest's URL");
    assert_eq!(answered(&["shop/.rollcall/manifests/v1"], None), None, "it cannot come back");
    let mut storeless = observed.at(at(1_005));
    storeless.prefix = PrefixFacts::Fault(BucketFault { reason: "StoreUnavailable", message: "refused".into() });
    assert_eq!(first_reason(&storeless), "StoreUnavailable");
}

/// Every pod that watches the pointer is sent the map with each write.
#[test]
fn a_name_map_is_written_while_all_pods_together_are_sent_little_or_where_the_release_wants_it() {
    let written = |policy: NameMapPolicy, bytes: usize, pods: usize| {
        let mut observed = vanished_pointer().with_pointer(Pointer::empty());
        observed.release.spec.pointer.name_map = Some(policy);
        for number in 0..pods {
            observed = observed.pod(&format!("p{number}"), ReportFacts::Silent);
        }
        let map = Some("x".repeat(bytes).into());
        observed.jobs.ended = vec![(verify_v1(9), JobEnd::Verified { missing: Vec::new(), name_map: map, headers: None, at: at(990) })];
        pointer_write(&observed).name_map.is_some()
    };
    let (most, shared) = (NAME_MAP_BYTES_MAX, NAME_MAP_SENT_BYTES_MAX / 300);
    assert!(written(NameMapPolicy::Automatic, most, 256) && !written(NameMapPolicy::Automatic, most, 257));
    assert!(written(NameMapPolicy::Automatic, shared, 300) && !written(NameMapPolicy::Automatic, shared + 1, 300));
    assert!(written(NameMapPolicy::Always, most, 257) && !written(NameMapPolicy::Always, most + 1, 1));
    assert!(!written(NameMapPolicy::Never, 2, 1));
}

/// I4: but never from less than somebody has seen.
#[test]
fn a_pointer_that_vanished_is_not_made_again_from_less_than_a_pod_has_seen() {
    let mut observed = vanished_pointer().pod("a", ReportFacts::Silent);
    let report = fixture().with_pointer(Pointer { sequence: 5, stage: 10, ..Pointer::empty() }).report(&["v1"], "v1");
    observed.targets[0].pods[0].report = report;
    assert_eq!(first_reason(&observed), "PointerVanished");
    observed = observed.with_pointer(Pointer::empty());
    assert_eq!(first_reason(&observed), "PointerVanished");
    let message = decide(&observed).blockers[0].message();
    assert!(message.ends_with("delete the pods that report it: a"), "{message}");
}

/// I4: numbers are never taken from one report: it neither stops the release nor moves its stages.
#[test]
fn a_pod_that_names_numbers_which_never_were_does_not_wedge_a_lost_pointer() {
    for (sequence, stage) in [(1_000_000_000_000, 1_000_000_000_000), (5, 9 + 1001), (i64::MAX, i64::MAX)] {
        let lie = fixture().with_pointer(Pointer { stage, sequence, ..Pointer::empty() }).report(&["v1"], "v1");
        let truth = fixture().with_pointer(Pointer { sequence: 4, stage: 9, ..Pointer::empty() }).report(&["v1"], "v1");
        let mut observed = vanished_pointer().pod("a", lie).pod("b", truth);
        assert_eq!(step(&observed), Step::CreatePointer);
        observed = observed.with_pointer(Pointer::empty());
        observed.jobs.ended = vec![(verify_v1(9), verified(&[]))];
        let write = pointer_write(&observed);
        assert_eq!((write.pointer.sequence, write.pointer.stage), (4, 9), "as the status has it");
    }
}

/// Its pod is named, like every other that does not report what is staged.
#[test]
fn a_pod_that_names_a_stage_which_never_was_is_named() {
    let mut observed = fixture().after_v1().staged().reporting("b", &["v1", "v2"], "v1");
    let lie = fixture().with_pointer(Pointer { sequence: 1, stage: 1_000_000_000_000, ..Pointer::empty() }).report(&["v1", "v2"], "v1");
    observed = observed.pod("a", lie);
    let message = decide(&observed).blockers.iter().map(Blocker::message).find(|text| text.contains("have reported")).unwrap();
    assert!(message.contains("1 of 2 pods") && message.contains("a (names stage 1000000000000"), "{message}");
}

/// I9: its numbers are another pointer's, so nothing of ours is lost; who waits for it reads which pointer that is, and whose.
#[test]
fn a_pod_that_follows_another_releases_pointer_is_named_with_that_release_and_loses_us_nothing() {
    let other = || Some(OtherPointer { config_map: "cart-pointer".into(), release: Some("cart".into()) });
    let mut absent = fixture().following("a", "cart-pointer");
    absent.other_pointer = other();
    absent.pointer = PointerFacts::Absent;
    assert_eq!(step(&absent), Step::CreatePointer);
    for is_first in [true, false] {
        let begun = if is_first { fixture() } else { fixture().after_v1() };
        let mut staged = begun.staged().following("a", "cart-pointer").reporting("b", &["v1", "v2"], "v1");
        staged.other_pointer = other();
        let decision = decide(&staged);
        assert_eq!((decision.step, decision.blockers[0].reason()), (Step::Nothing, "PodsFollowAnotherPointer"));
        let message = decision.blockers[0].message();
        assert!(message.contains("\"cart-pointer\" of AssetRelease \"cart\" and not \"shop-pointer\""), "{message}");
        assert!(message.ends_with(": a") && !message.contains("delete"), "{message}");
    }
    let mut active = fixture().activated("v1").activated("v2").following("a", "cart-pointer");
    active.other_pointer = other();
    assert_eq!(first_reason(&active), "NotConverged");
    assert!(decide(&active).blockers[0].message().contains("a (follows the pointer \"cart-pointer\")"));
}

/// As a pod that is silent: whoever excuses it goes on without it once, and not a second time.
#[test]
fn a_pod_of_another_pointer_is_excused_as_a_silent_one_is() {
    let mut staged = fixture().after_v1().staged().following("a", "cart-pointer");
    staged.other_pointer = Some(OtherPointer { config_map: "cart-pointer".into(), release: None });
    staged = staged.at(at(1_300)).spec(|spec| {
        spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
        spec.targets[0].excuse_after_seconds = Some(60);
    });
    let reasons: Vec<_> = decide(&staged).blockers.iter().map(Blocker::reason).collect();
    assert_eq!(reasons, ["NotConverged"], "nothing excuses from converging");
}

/// A pointer labelled `old`, and a release that is to take that one's place.
fn renamed(presence: Presence) -> Observed {
    let mut observed = fixture().after_v1();
    observed.pointer_mut().release = "old".into();
    observed.predecessor = Some(Predecessor { name: "old".into(), presence, selectors: Vec::new() });
    observed
}

/// I4: nothing of a release that exists is touched, and what is taken over is taken as it was seen.
#[test]
fn a_pointer_is_taken_over_from_a_release_that_is_gone_and_from_no_other() {
    let gone = renamed(Presence::Gone);
    assert_eq!(step(&gone), Step::AdoptPointer(gone.found().unwrap().guard.clone()));
    for presence in [Presence::There, Presence::Ending] {
        assert_eq!((step(&renamed(presence)), first_reason(&renamed(presence))), (Step::Nothing, "PredecessorExists"));
        assert!(!decide(&renamed(presence)).blockers[0].stalls(), "a GitOps tool prunes after it has looked at the rest");
    }
    let mut other = renamed(Presence::Gone);
    other.pointer_mut().release = "another".into();
    assert_eq!(first_reason(&other), "PointerTaken");
    let mut contested = renamed(Presence::Gone);
    contested.pointer_mut().contest = Some(contested_by("argocd-controller"));
    assert_eq!(first_reason(&contested), "PointerContested");
    let mut kept = renamed(Presence::Gone);
    kept.pointer_mut().labelled_by = contested_by("kustomize-controller").manager;
    assert_eq!(first_reason(&kept), "PointerLabelKept");
    let mut deleting = renamed(Presence::Gone);
    deleting.release.deleting = true;
    let ends = |step: &Step| matches!(step, Step::StartJob(Job::EndReferences { .. }) | Step::RemoveFinalizer);
    assert!(ends(&step(&deleting)), "a release that goes takes nothing: {:?}", step(&deleting));
    let mut suspended = renamed(Presence::Gone);
    suspended.release.spec.suspend = true;
    assert_eq!(step(&suspended), Step::Nothing);
}

/// I13: the bucket's part comes last, when the pointer says whose all of it is.
#[test]
fn nothing_is_inherited_in_the_bucket_before_the_pointer_is_ours_and_the_other_release_gone() {
    let leaves = |observed: &Observed| observed.predecessor.as_ref().unwrap().leaves(&observed.release, &observed.pointer);
    assert_eq!(leaves(&renamed(Presence::Gone)), None);
    let mut ours = renamed(Presence::Gone);
    ours.pointer_mut().release = "shop".into();
    assert_eq!(leaves(&ours), Some(Inheritance { release: "ns/old".into(), sequence: 2 }));
    ours.predecessor.as_mut().unwrap().presence = Presence::There;
    assert_eq!(leaves(&ours), None);
    ours.prefix = PrefixFacts::Known { owner: OwnerFacts::Other(owner("ns/old")), record: None };
    assert_eq!(first_reason(&ours), "PredecessorExists");
    ours.prefix = PrefixFacts::Known { owner: OwnerFacts::Other(owner("other/old")), record: None };
    assert_eq!(first_reason(&ours), "PrefixOwned", "of another namespace");
}

/// I4: an object of that name is somebody else's until its owner says otherwise.
#[test]
fn a_config_map_that_nobody_labelled_as_a_pointer_is_left_alone() {
    let mut observed = fixture().after_v1();
    observed.pointer = PointerFacts::Foreign(ForeignLabels::default());
    let decision = decide(&observed);
    assert_eq!((decision.step, decision.blockers[0].reason()), (Step::Nothing, "PointerForeign"));
    let message = decision.blockers[0].message();
    assert!(message.contains("rollcall.dev/pointer=true rollcall.dev/release=shop"), "{message}");
    observed.release.deleting = true;
    observed.jobs.ended = vec![(Job::EndReferences { store: STORE.into() }, JobEnd::ReferencesEnded)];
    assert_eq!(step(&observed), Step::RemoveFinalizer, "a release can always go");
}

/// I4: agents refuse to go back, and pods born meanwhile do not: what the backup undid is done again.
#[test]
fn an_older_pointer_that_was_put_back_is_set_to_the_highest_flip() {
    let older = Pointer { active: Some(pointed("v0")), sequence: 3, ..Pointer::empty() }.staged(pointed("v1"), at(90));
    let mut observed = vanished_pointer().with_pointer(Pointer { stage: 8, ..older });
    assert_eq!(step(&observed.clone().spec(|spec| spec.version = "v1".into())), Step::StartJob(verify_v1(9)), "its name map is asked for");
    observed.jobs.ended = vec![(verify_v1(9), verified(&[]))];
    observed = observed.spec(|spec| spec.version = "v1".into());
    let write = pointer_write(&observed);
    assert_eq!((write.kind, write.pointer.sequence, write.pointer.stage), (PointerChange::Restore, 4, 9));
    assert_eq!((write.pointer.active, write.pointer.candidate, write.pointer.staged_at), (Some(pointed("v1")), None, None));
}

/// I2: or a report for an earlier staging under that number would count.
#[test]
fn a_pointer_whose_stage_numbers_went_back_gets_the_highest() {
    let mut observed = fixture().after_v1();
    observed.release.status = status::next(&observed, &decide(&observed), StepOutcome::Done);
    observed.release.status.last_stage = 9;
    observed.pointer_mut().name_map = Some("{}".into());
    let was = observed.found().unwrap().pointer.clone();
    let write = pointer_write(&observed);
    assert_eq!((write.kind, write.pointer), (PointerChange::Restore, Pointer { stage: 9, ..was }));
    assert_eq!(write.name_map.as_deref(), Some("{}"), "the flip is the same");
}

/// I4: both pointer and status come from a backup; only the pods know.
#[test]
fn a_pointer_behind_what_a_pod_has_seen_is_not_followed() {
    let report = fixture().with_pointer(Pointer { sequence: 5, stage: 10, ..Pointer::empty() }).report(&["v1"], "v1");
    let observed = fixture().after_v1().pod("a", report);
    assert_eq!(first_reason(&observed), "PointerVanished");
}

/// I4: right after a start nothing is known of what the pods have seen.
#[test]
fn a_pointer_that_vanished_is_not_made_again_before_the_pods_were_seen() {
    let mut observed = vanished_pointer();
    observed.targets[0].seen_since_stage = None;
    assert_eq!(first_reason(&observed), "PodsUnseen");
    assert_eq!(first_reason(&observed.with_pointer(Pointer::empty())), "PodsUnseen");
}

/// I7.
#[test]
fn an_active_version_that_every_pod_serves_needs_nothing() {
    let observed = fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v2");
    let decision = decide(&observed);
    assert_eq!((decision.step, decision.phase, decision.wait), (Step::Nothing, Phase::Active, Wait::Change));
    assert!(decision.blockers.is_empty());
}

/// Others wait for it, and nothing else makes an active release look again.
#[test]
fn a_claim_is_renewed_beside_an_active_version_and_looked_at_again_after_a_fault() {
    let mut observed = fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v2");
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Renewing(owner("ns/shop")), record: Some(record("v2")) };
    let decision = decide(&observed);
    assert!(matches!(decision.step, Step::StartJob(Job::Claim { .. })), "{:?}", decision.step);
    assert_eq!((decision.phase, decision.wait, decision.blockers.len()), (Phase::Active, Wait::Again, 0));
    observed.prefix = PrefixFacts::Fault(BucketFault { reason: "StoreUnavailable", message: "refused".into() });
    let decision = decide(&observed);
    assert_eq!((decision.step, decision.phase), (Step::Nothing, Phase::Active));
    assert!(matches!(decision.wait, Wait::Until(_)), "{:?}", decision.wait);
}

#[test]
fn an_active_version_converges_when_every_ready_pod_serves_it() {
    let observed = fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v1");
    assert_eq!(first_reason(&observed), "NotConverged");
    assert_eq!(decide(&observed).phase, Phase::Converging);
    let mut unready = observed.clone().last_pod(|pod| pod.ready = false);
    assert_eq!(first_reason(&unready), "NotConverged", "nobody serves it yet");
    assert_eq!(decide(&unready.clone().last_pod(|pod| pod.unreachable_since = Some(at(1)))).phase, Phase::Active);
    unready = unready.reporting("b", &["v1", "v2"], "v2");
    assert_eq!(first_reason(&unready), "NotConverged", "it may be Ready again at any time, and then it serves v1");
    unready.targets[0].pods[0].report = ReportFacts::Silent;
    assert_eq!(decide(&unready).phase, Phase::Active, "it says nothing, and others serve");
    let adopted = fixture().activated("v2").pod("old", ReportFacts::Silent).last_pod(|pod| pod.has_agent = false);
    let joining = adopted.reporting("new", &[], "").last_pod(|pod| pod.ready = false);
    assert_eq!(decide(&joining).phase, Phase::Active, "a live application goes on as it was while its pods get agents");
}

#[test]
fn convergence_is_not_claimed_before_the_pods_were_seen() {
    let mut observed = fixture().activated("v1").activated("v2");
    observed.targets[0].seen_since_stage = None;
    assert_eq!(first_reason(&observed), "PodsUnseen");
}

/// I10: pages last.
#[test]
fn entry_files_are_written_to_the_bucket_only_after_the_flip() {
    let in_bucket = |spec: &mut crate::api::AssetReleaseSpec| spec.entries.publish = PublishEntries::Bucket;
    let mut before = fixture().after_v1().staged().spec(in_bucket);
    let Step::StartJob(Job::Verify { flip: Some((_, PublishEntries::Bucket)), .. }) = step(&before) else {
        panic!("whether pages can be written is asked before the flip: {:?}", step(&before))
    };
    for (job, _) in &mut before.jobs.ended {
        if let Job::Verify { flip: Some((_, publish)), .. } = job {
            *publish = PublishEntries::Bucket;
        }
    }
    assert!(flips(&before));
    let after = fixture().activated("v1").activated("v2").spec(in_bucket);
    assert_eq!(step(&after), Step::StartJob(entries(EntriesRound::AtFlip)));
    let mut done = after;
    done.jobs.ended = vec![(entries(EntriesRound::AtFlip), confirmed())];
    assert_eq!(decide(&done).phase, Phase::Active);
}

fn confirmed() -> JobEnd {
    JobEnd::EntriesPublished { at: at(950) }
}

fn entries(round: EntriesRound) -> Job {
    Job::PublishEntries { version: "v2".into(), digest: digest("v2"), sequence: 2, publish: PublishEntries::Bucket, round }
}

/// I4: a stalled write of an earlier flip may land late; it is found and mended when no other can follow.
#[test]
fn entry_files_are_confirmed_once_more_when_no_stalled_write_can_land() {
    let mut observed = fixture().activated("v1").activated("v2").spec(|spec| spec.entries.publish = PublishEntries::Bucket);
    observed.jobs.ended = vec![(entries(EntriesRound::AtFlip), confirmed())];
    assert_eq!(decide(&observed).wait, Wait::Until(at(100 + 17 * 60)));
    observed.now = at(100 + 17 * 60);
    let again = entries(EntriesRound::WhenSignaturesDied);
    assert_eq!(step(&observed), Step::StartJob(again.clone()));
    observed.jobs.running = Some((again.clone(), UploadStatus::default()));
    assert_eq!(decide(&observed).phase, Phase::Active, "what was confirmed stays confirmed meanwhile");
    observed.jobs.running = None;
    observed.jobs.ended = vec![(entries(EntriesRound::AtFlip), confirmed()), (again.clone(), failed(Some(at(2_000))))];
    assert_eq!((decide(&observed).phase, decide(&observed).wait), (Phase::Active, Wait::Until(at(2_000))), "and is tried again");
    assert_eq!(step(&observed.clone().at(at(2_000))), Step::StartJob(again.clone()));
    observed.jobs.ended = vec![(again, confirmed())];
    assert_eq!((decide(&observed).wait, step(&observed)), (Wait::Change, Step::Nothing));
}

/// Agents serve the right bytes meanwhile, and whoever loads them from the bucket does not get them: somebody has to hear of it.
#[test]
fn a_failed_write_of_public_files_is_told_where_pods_serve_the_pages() {
    let mut observed = fixture().activated("v1").activated("v2");
    let PointerFacts::Present(found) = &mut observed.pointer else { panic!("the fixture has a pointer") };
    found.pointer.public_files = true;
    let Step::StartJob(job) = step(&observed) else { panic!("public files are due: {:?}", step(&observed)) };
    observed.jobs.ended = vec![(job.clone(), failed(Some(at(2_000))))];
    let decided = decide(&observed);
    assert!(matches!(decided.blockers[..], [Blocker::JobFailed(_)]), "{:?}", decided.blockers);
    assert_eq!(decided.wait, Wait::Until(at(2_000)));
    observed.jobs.ended = vec![(job, confirmed())];
    assert_eq!((decide(&observed).phase, decide(&observed).blockers), (Phase::Active, Vec::new()));
}

fn with_public_files(mut observed: Observed) -> Observed {
    observed.pointer_mut().pointer.public_files = true;
    observed
}

/// I9, I10: that the files which pages load are in the bucket says nothing of the pages.
#[test]
fn pages_are_not_called_published_when_only_public_files_were_confirmed() {
    let mut observed = with_public_files(fixture().activated("v1").activated("v2"));
    let Step::StartJob(of_pods) = step(&observed) else { panic!("public files are due: {:?}", step(&observed)) };
    observed.jobs.ended = vec![(of_pods, confirmed())];
    observed.release.status = status::next(&observed, &decide(&observed), StepOutcome::Done);
    let told = observed.release.status.entries.clone().unwrap();
    assert_eq!((told.sequence, told.without_pages), (2, true));
    let mut observed = observed.spec(|spec| spec.entries.publish = PublishEntries::Bucket);
    let decided = decide(&observed);
    assert_eq!((decided.phase, decided.step), (Phase::Converging, Step::StartJob(entries(EntriesRound::AtFlip))));
    observed.jobs.ended.push((entries(EntriesRound::AtFlip), failed(Some(at(2_000)))));
    assert_eq!(first_reason(&observed), "SourceUnavailable", "the fixture's failure");
    observed.jobs.ended = vec![(entries(EntriesRound::AtFlip), confirmed())];
    assert_eq!(decide(&observed).phase, Phase::Active);
    assert!(!status::next(&observed, &decide(&observed), StepOutcome::Done).entries.unwrap().without_pages);
}

/// Pods serve pages of v2 by now, and those load what lies at the public keys.
#[test]
fn public_files_of_the_active_version_are_written_although_another_one_is_wished_for() {
    let active = with_public_files(fixture().activated("v1").activated("v2"));
    let of_v2 = |job: &Job| matches!(job, Job::PublishEntries { version, publish: PublishEntries::Pods, .. } if version == "v2");
    let wishes: [fn(&mut crate::api::AssetReleaseSpec); 2] = [|spec| spec.version = "v3".into(), |spec| spec.suspend = true];
    for wish in wishes {
        let mut observed = active.clone().spec(wish);
        let Step::StartJob(job) = step(&observed) else { panic!("public files are due: {:?}", step(&observed)) };
        assert!(of_v2(&job), "{job:?}");
        observed.jobs.running = Some((job.clone(), UploadStatus::default()));
        assert_eq!(step(&observed), Step::Nothing, "it is neither cancelled nor made twice");
        observed.jobs.running = None;
        let other = |observed: &Observed| !matches!(step(observed), Step::StartJob(job) if of_v2(&job));
        observed.jobs.ended = vec![(job.clone(), failed(Some(at(2_000))))];
        assert!(other(&observed), "one try: the next flip brings its own files");
        observed.jobs.ended = vec![(job, confirmed())];
        assert!(other(&observed));
    }
}

/// Who reads another release's prefix may have no right to write there, and what it wrote would be in that release's way.
#[test]
fn a_release_that_only_reads_a_prefix_puts_nothing_at_its_public_keys() {
    let published = |spec: &mut crate::api::AssetReleaseSpec| {
        spec.source = Some(serde_json::from_value(serde_json::json!({"published": {}})).unwrap());
    };
    let mut observed = fixture().after_v1().staged().spec(published);
    let mut build = record("v2");
    build.build.as_mut().unwrap().unversioned = 1;
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Other(owner("ns/other")), record: Some(build) };
    let Step::StartJob(verify) = step(&observed) else { panic!("the store is asked: {:?}", step(&observed)) };
    assert!(matches!(verify, Job::Verify { flip: None, .. }), "{verify:?}");
    observed.jobs.ended = vec![(verify, verified(&[]))];
    let PointerWrite { kind, pointer, .. } = pointer_write(&observed);
    assert!(matches!(kind, PointerChange::Flip { .. }) && !pointer.public_files, "{pointer:?}");
}

/// I9: a new process takes the status's word that the pages are out, and looks once itself.
#[test]
fn entry_files_that_were_confirmed_stay_so_over_a_restart_and_are_looked_at_once() {
    let mut observed = fixture().activated("v1").activated("v2").spec(|spec| spec.entries.publish = PublishEntries::Bucket);
    observed.release.status.entries = Some(EntriesStatus { sequence: 2, confirmed_at: api_time(at(110)), without_pages: false });
    let again = decide(&observed);
    assert_eq!((again.phase, again.step), (Phase::Active, Step::StartJob(entries(EntriesRound::AtFlip))));
    observed.prefix = PrefixFacts::Fault(BucketFault { reason: "StoreUnavailable", message: "refused".into() });
    assert_eq!((decide(&observed).phase, decide(&observed).wait), (Phase::Active, Wait::Until(at(1_030))));
    observed.jobs.ended = vec![(entries(EntriesRound::AtFlip), confirmed())];
    assert_eq!((decide(&observed).phase, step(&observed)), (Phase::Active, Step::Nothing));
    let mut earlier = fixture().activated("v1").activated("v2").spec(|spec| spec.entries.publish = PublishEntries::Bucket);
    earlier.release.status.entries = Some(EntriesStatus { sequence: 1, confirmed_at: api_time(at(110)), without_pages: false });
    assert_eq!(decide(&earlier).phase, Phase::Converging, "those are of the flip before");
}

/// A page that is named and that the build lacks is said before the flip, and another one is another staging.
#[test]
fn a_changed_fallback_is_verified_staged_and_flipped_like_another_url() {
    let observed = fixture().activated("v1").activated("v2").spec(|spec| spec.entries.fallback = Some("index.html".into()));
    let Step::StartJob(job) = step(&observed) else { panic!("the build is asked for the page: {:?}", step(&observed)) };
    assert!(matches!(&job, Job::Verify { fallback: Some(page), .. } if page == "index.html"), "{job:?}");
    let mut verified_now = observed.clone();
    verified_now.jobs.ended = vec![(job.clone(), verified(&[]))];
    let PointerWrite { kind, pointer, .. } = pointer_write(&verified_now);
    assert_eq!(kind, PointerChange::Stage);
    assert_eq!(pointer.candidate.unwrap().fallback.as_deref(), Some("index.html"));
    let mut refused = observed;
    refused.jobs.ended = vec![(job, failed(Some(at(2_000))))];
    assert_eq!(first_reason(&refused), "SourceUnavailable", "the fixture's failure");
}

/// The CDN does it there: nothing is staged, and no pod has to follow.
#[test]
fn a_fallback_of_pages_in_the_bucket_changes_nothing() {
    let publish = |spec: &mut crate::api::AssetReleaseSpec| spec.entries.publish = PublishEntries::Bucket;
    let before = fixture().activated("v1").activated("v2").spec(publish);
    let after = before.clone().spec(|spec| spec.entries.fallback = Some("gone.html".into()));
    assert_eq!(step(&after), step(&before));
}

#[test]
fn a_changed_public_url_is_a_new_flip_of_the_same_version() {
    let mut observed = fixture().activated("v1").activated("v2");
    observed.store = StoreFacts::Usable {
        identity: STORE.into(),
        base_url: "https://new.example.com/shop/".into(),
        fetch_url: "http://store/b/shop/".into(),
        replicas: Vec::new(),
    };
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Us, record: Some(record("v2")) };
    assert!(matches!(step(&observed), Step::StartJob(Job::Verify { stage: 3, .. })));
    let write = pointer_write(&observed.verified_for(3, &[]));
    assert_eq!(write.pointer.candidate.unwrap().base_url, "https://new.example.com/shop/");
}

#[test]
fn a_store_that_is_down_does_not_stop_a_roll_call() {
    let mut observed = fixture().after_v1().staged().reporting("a", &["v1", "v2"], "v1");
    observed.prefix = PrefixFacts::Fault(BucketFault { reason: "StoreUnavailable", message: "refused".into() });
    assert!(flips(&observed));
}

/// I11: break-glass cannot skip the converge gate by way of pods that were not looked at.
#[test]
fn an_empty_view_does_not_pass_for_convergence() {
    let glass = OverrideSpec { version: "v2".into(), gates: vec![SkippableGate::EveryPodReported], reason: "fire".into() };
    let mut observed = fixture().after_v1().staged().spec(|spec| spec.activation.r#override = Some(glass));
    assert!(flips(&observed));
    observed.targets[0].seen_since_stage = None;
    assert_eq!(first_reason(&observed), "PodsUnseen");
}

/// I2: stage numbers go on even when nothing was ever active, or old reports would count for a new staging.
#[test]
fn an_emptied_pointer_gets_its_stage_number_back_before_the_first_flip() {
    let mut observed = fixture();
    observed.release.status.last_stage = 4;
    let write = pointer_write(&observed);
    assert_eq!((write.kind, write.pointer.stage, write.pointer.active), (PointerChange::Restore, 4, None));
    let mut recreated = fixture();
    let report = fixture().with_pointer(Pointer { stage: 6, ..Pointer::empty() }).report(&["v2"], "");
    recreated = recreated.pod("a", report);
    assert_eq!(pointer_write(&recreated).pointer.stage, 6, "from the pods, when status is new");
}

#[test]
fn a_pod_that_was_not_asked_yet_is_neither_excused_nor_overlooked() {
    let mut observed = fixture().after_v1().staged().pod("a", ReportFacts::NotAsked).spec(|spec| {
        spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
        spec.targets[0].excuse_after_seconds = Some(1);
        spec.targets[0].report.http = Some(serde_json::from_str(r#"{"port":8080}"#).unwrap());
    });
    assert_eq!(first_reason(&observed), "PodsUnseen");
    observed.targets[0].pods[0].report = ReportFacts::Silent;
    observed.targets[0].pods[0].has_agent = false;
    assert!(flips(&observed), "asked, and silent for longer than it is waited for");
}

/// I1: evidence of the store grows old, and another store's does not count.
#[test]
fn the_store_is_asked_again_when_its_evidence_is_old_or_of_another_store() {
    let waiting = fixture().after_v1().staged().spec(|spec| spec.activation.mode = ActivationMode::Manual);
    let later = waiting.at(at(1_000 + 3_600));
    assert_eq!(first_reason(&later), "NotApproved", "the deadline still stands still");
    let approved = later.spec(|spec| spec.activation.approved_version = Some("v2".into()));
    assert_eq!(step(&approved), Step::StartJob(verify(3)));
    let mut moved = fixture().after_v1().staged();
    moved.store = StoreFacts::Usable {
        identity: "store-uid/2".into(),
        base_url: "https://cdn.example.com/shop/".into(),
        fetch_url: "http://store/b/shop/".into(),
        replicas: Vec::new(),
    };
    assert!(matches!(step(&moved), Step::StartJob(Job::Verify { store, .. }) if store == "store-uid/2"));
}

/// I12: a candidate whose store cannot be asked is taken back at its deadline like any other.
#[test]
fn a_staged_candidate_without_its_store_waits_and_is_given_up() {
    let mut observed = fixture().after_v1().staged();
    observed.jobs = JobFacts::default();
    observed.store = StoreFacts::Missing;
    assert_eq!(first_reason(&observed), "StoreMissing");
    assert_eq!(unstages(&observed.at(at(9_000))), Some(UnstageReason::DeadlineExceeded));
}

#[test]
fn objects_that_were_put_back_by_hand_are_found() {
    let lost = fixture().after_v1().verified_for(3, &["shop/a.js"]).spec(|spec| spec.source = None);
    assert_eq!(first_reason(&lost), "ObjectsMissing");
    assert_eq!(decide(&lost).wait, Wait::Until(at(1_030)));
    assert_eq!(step(&lost.at(at(1_030))), Step::StartJob(verify(3)));
}

#[test]
fn a_version_that_somebody_else_publishes_is_waited_for_and_asked_for_again() {
    let elsewhere =
        |spec: &mut AssetReleaseSpec| spec.source = Some(SourceSpec { published: Some(PublishedSource {}), ..SourceSpec::default() });
    let observed = unpublished().spec(elsewhere);
    assert_eq!(first_reason(&observed), "NotPublished");
    let decision = decide(&observed);
    assert_eq!((decision.step, decision.wait), (Step::Nothing, Wait::Until(at(1_030))));
    assert!(!decision.blockers[0].stalls());
    // Recorded by now: the same path as any version, from here on.
    assert!(matches!(step(&fixture().after_v1().spec(elsewhere)), Step::StartJob(Job::Verify { .. })));
}

#[test]
fn a_prefix_with_another_owner_may_be_read_by_a_release_that_writes_nothing_there() {
    let theirs = || Owner { owner_version: 1, cluster: "other".into(), release: "shop/other".into() };
    let elsewhere =
        |spec: &mut AssetReleaseSpec| spec.source = Some(SourceSpec { published: Some(PublishedSource {}), ..SourceSpec::default() });
    let mut observed = unpublished().spec(elsewhere);
    observed.prefix = PrefixFacts::Known { owner: OwnerFacts::Other(theirs()), record: None };
    assert_eq!(first_reason(&observed), "NotPublished");
    // Pages in the bucket would be written.
    let observed = observed.spec(|spec| spec.entries.publish = PublishEntries::Bucket);
    assert_eq!(first_reason(&observed), "PrefixOwned");
}
