//! Why a gate does not hold: data, with a stable reason and a deterministic message. One blocker feeds condition, event,
//! metric and status; waiting is not an error.

mod adoption;
mod catalogue;
mod look;
mod loss;
mod pointer;
mod store;

use crate::api::names;
use crate::api::status::{MESSAGE_BYTES_MAX, cut};
use crate::manifest::{Overlap, Owner};

use super::observed::{BucketFault, Contest, FieldManager, ForeignLabels, JobFailure, Lacks, OtherPointer, ReplicaEnd, StoreProblem};

pub use self::adoption::AdoptionHold;
pub use self::look::LookFailure;
pub use self::loss::LossCause;

/// Names shown in one message; the rest is counted.
const NAMES_MAX: usize = 10;

/// Why a release does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// `spec.suspend`.
    Suspended,
    /// The AssetStore is not there.
    StoreMissing {
        /// Its name.
        store: String,
    },
    /// The AssetStore cannot be used as it stands.
    StoreUnusable {
        /// Its name.
        store: String,
        /// Its namespace.
        namespace: String,
        /// What is wrong.
        problem: StoreProblem,
    },
    /// The bucket did not answer as it should.
    BucketFault(BucketFault),
    /// The store is being asked who may write below the prefix, and what was published there.
    AskingStore {
        /// Its name.
        store: String,
    },
    /// The prefix is being claimed.
    Claiming {
        /// The prefix.
        prefix: String,
    },
    /// Another release may write below the prefix.
    PrefixOwned {
        /// The prefix.
        prefix: String,
        /// Who owns it.
        owner: Owner,
        /// Key of the owner object.
        key: String,
    },
    /// Another release has claimed some of the prefix's keys, above or below.
    PrefixOverlaps(Overlap),
    /// The version was never published and no source is given.
    SourceMissing {
        /// The version.
        version: String,
    },
    /// Somebody else publishes, and has not yet.
    NotPublished {
        /// The version.
        version: String,
        /// The release's prefix.
        prefix: String,
    },
    /// The version is being published.
    Publishing {
        /// The version.
        version: String,
    },
    /// The store is being asked for every object.
    Verifying {
        /// The version.
        version: String,
    },
    /// A job failed.
    JobFailed(JobFailure),
    /// The store lacks objects of a recorded version.
    ObjectsMissing {
        /// The version.
        version: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// The version is being brought into the replicas.
    Replicating {
        /// The version.
        version: String,
    },
    /// A replica does not have every object of the version.
    ReplicaIncomplete {
        /// The version.
        version: String,
        /// What became of it.
        replica: ReplicaEnd,
    },
    /// A replica cannot be used at all: told in the AssetStore's status.
    ReplicaUnusable {
        /// Its name.
        replica: String,
        /// What was seen.
        cause: String,
    },
    /// Somebody else writes the pointer's keys.
    PointerContested {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// Which fields, and who has them.
        contest: Contest,
    },
    /// An object of the pointer's name is there that nobody gave to this release.
    PointerForeign {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// The release that waits.
        release: String,
        /// The labels as they are.
        labels: Box<ForeignLabels>,
    },
    /// The pointer belongs to another release.
    PointerTaken {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// The other release.
        release: String,
        /// Who set the label that says so, if Rollcall did not.
        labelled_by: Option<FieldManager>,
    },
    /// What `spec.adoptFrom` asks for cannot be done yet.
    AdoptionWaits(Box<AdoptionHold>),
    /// The pointer's document cannot be read.
    PointerUnreadable {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// What is wrong with it.
        cause: String,
        /// Who has it, if Rollcall does not.
        written_by: Option<FieldManager>,
    },
    /// The pointer is gone or from a backup, and pods have seen later flips than pointer and status know.
    PointerVanished {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// Names of those pods.
        pods: Vec<String>,
        /// Highest sequence that a pod reports.
        reported: i64,
        /// Highest sequence in status and pointer.
        known: i64,
    },
    /// A later leader has written the pointer.
    EpochAhead {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// The epoch in it.
        pointer: i64,
        /// The epoch of this controller.
        ours: i64,
    },
    /// A target does not exist.
    WorkloadMissing {
        /// `Kind/name` of each.
        targets: Vec<String>,
    },
    /// A target has no pods, and `onZeroReplicas` is `Wait`.
    NoPods {
        /// `Kind/name` of each.
        targets: Vec<String>,
    },
    /// The pods have not been looked at since the staging.
    PodsUnseen {
        /// `Kind/name` of each target.
        targets: Vec<String>,
    },
    /// Pods that count have not reported the candidate for this stage.
    PodsMissing {
        /// How many have.
        reported: usize,
        /// How many count.
        counted: usize,
        /// Each with what is known of it.
        pods: Vec<LaggingPod>,
    },
    /// Pods that count follow another release's pointer.
    PodsFollowAnother {
        /// Name of this release's pointer.
        config_map: String,
        /// The first of the others.
        other: OtherPointer,
        /// Names of the pods.
        pods: Vec<String>,
    },
    /// Ready pods still serve another version than the active one.
    NotConverged {
        /// Each with what it serves.
        pods: Vec<LaggingPod>,
    },
    /// The status does not say yet by which selectors pods are watched.
    SelectorsUnrecorded {
        /// `Kind/name` of each target.
        targets: Vec<String>,
        /// Former selectors, where they leave no room.
        former: Vec<String>,
    },
    /// `activation.mode` is `Manual` and the version is not approved.
    NotApproved {
        /// The version that waits.
        version: String,
    },
    /// The entry files are being written to their public keys.
    PublishingEntries {
        /// The version.
        version: String,
    },
    /// A step was decided and could not be done.
    StepFailed {
        /// What was seen.
        message: String,
    },
    /// A step was decided several times in a row, and what it rests on had changed each time when it was to be done.
    StepLost {
        /// The step.
        step: &'static str,
        /// Why it was not done.
        cause: LossCause,
    },
    /// What a decision needs could not be read: nothing was decided.
    LookFailed(LookFailure),
    /// The attempt was given up.
    GivenUp {
        /// The version.
        version: String,
        /// What was missing then.
        message: String,
    },
}

/// A pod that keeps a gate closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaggingPod {
    /// Its name.
    pub name: String,
    /// What is known of it, in a few words.
    pub why: String,
}

impl Blocker {
    /// Stable CamelCase word: reason of conditions and events, label of metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::StoreMissing { .. } => "StoreMissing",
            Self::StoreUnusable { problem, .. } => problem.reason(),
            Self::BucketFault(fault) => fault.reason,
            Self::AskingStore { .. } => "AskingStore",
            Self::Claiming { .. } => "ClaimingPrefix",
            Self::PrefixOwned { .. } => "PrefixOwned",
            Self::PrefixOverlaps(_) => "PrefixOverlaps",
            Self::SourceMissing { .. } => "SourceMissing",
            Self::NotPublished { .. } => "NotPublished",
            Self::Publishing { .. } => "Publishing",
            Self::Verifying { .. } => "Verifying",
            Self::JobFailed(failure) => failure.reason,
            Self::ObjectsMissing { .. } => "ObjectsMissing",
            Self::Replicating { .. } => "Replicating",
            Self::ReplicaIncomplete { .. } => "ReplicaIncomplete",
            Self::ReplicaUnusable { .. } => "ReplicaUnusable",
            Self::PointerContested { .. } => "PointerContested",
            Self::PointerForeign { .. } => "PointerForeign",
            Self::PointerTaken { .. } => "PointerTaken",
            Self::AdoptionWaits(hold) => hold.reason(),
            Self::PointerUnreadable { .. } => "PointerUnreadable",
            Self::PointerVanished { .. } => "PointerVanished",
            Self::EpochAhead { .. } => "EpochAhead",
            Self::WorkloadMissing { .. } => "WorkloadMissing",
            Self::NoPods { .. } => "NoPods",
            Self::PodsUnseen { .. } => "PodsUnseen",
            Self::PodsMissing { .. } => "PodsMissing",
            Self::PodsFollowAnother { .. } => "PodsFollowAnotherPointer",
            Self::NotConverged { .. } => "NotConverged",
            Self::SelectorsUnrecorded { .. } => "SelectorsUnrecorded",
            Self::NotApproved { .. } => "NotApproved",
            Self::PublishingEntries { .. } => "PublishingEntries",
            Self::StepFailed { .. } => "StepFailed",
            Self::StepLost { .. } => "StepLost",
            Self::LookFailed(failure) => failure.reason(),
            Self::GivenUp { .. } => "ProgressDeadlineExceeded",
        }
    }

    /// What is missing, where, and what to do. The same facts give the same text, so that nothing is written twice. Whatever others
    /// wrote of it, nothing in it is hidden.
    #[must_use]
    pub fn message(&self) -> String {
        cut(self.words(), MESSAGE_BYTES_MAX)
    }

    fn words(&self) -> String {
        match self {
            Self::Suspended => "spec.suspend is true: set it to false to go on".into(),
            Self::StoreMissing { store } => {
                format!("AssetStore {store:?} does not exist in this namespace: create it, or create a release with another spec.storeRef")
            }
            Self::StoreUnusable { store, namespace, problem } => problem.message(&format!("AssetStore {store:?}"), namespace),
            Self::BucketFault(fault) => fault.message.clone(),
            Self::AskingStore { store } => {
                format!("AssetStore {store:?} is being asked who may write below the prefix, and what was published there")
            }
            Self::Claiming { prefix } => format!("the prefix {prefix:?} is being claimed"),
            Self::PrefixOwned { prefix, owner, key } => format!(
                "prefix {prefix:?} belongs to AssetRelease {} of the cluster {}: choose another prefix, or, if that release is gone for good, delete the object {key:?} to hand the prefix over",
                owner.release, owner.cluster
            ),
            Self::PrefixOverlaps(overlap) => format!("{overlap}, which was claimed before: {}", overlap.advice()),
            Self::SourceMissing { version } => {
                format!(
                    "version {version:?} was never published below this prefix and spec.source is not set: set spec.source, or a version that was published"
                )
            }
            Self::NotPublished { version, prefix } => {
                format!("waiting until version {version:?} is published below {prefix:?}, for example by `rollcall publish`")
            }
            Self::Publishing { version } => format!("version {version:?} is being published"),
            Self::Verifying { version } => format!("the store is being asked for every object of version {version:?}"),
            Self::JobFailed(failure) => failure.message.clone(),
            Self::ObjectsMissing { version, keys } => format!(
                "the store lacks {} objects of version {version:?}: {}; put them back, or publish the version again: by spec.source, or by `rollcall publish`",
                keys.len(),
                some_of(keys)
            ),
            Self::Replicating { version } => format!("version {version:?} is being brought into every replica of the store"),
            Self::ReplicaIncomplete { version, replica } => {
                format!("version {version:?} is not activated before every replica has it: {}", replica.sentence())
            }
            Self::ReplicaUnusable { replica, cause } => format!("replica {replica:?} cannot be used: {cause}"),
            Self::AdoptionWaits(hold) => hold.to_string(),
            Self::PointerContested { .. }
            | Self::PointerForeign { .. }
            | Self::PointerTaken { .. }
            | Self::PointerUnreadable { .. }
            | Self::PointerVanished { .. }
            | Self::EpochAhead { .. }
            | Self::PodsFollowAnother { .. } => self.pointer_message(),
            Self::WorkloadMissing { targets } => format!(
                "{} not found: create it, correct spec.targets, or set activation.onMissingWorkload to Proceed if its code comes later",
                some_of(targets)
            ),
            Self::NoPods { targets } => format!("{} has no pods and activation.onZeroReplicas is Wait", some_of(targets)),
            Self::PodsUnseen { targets } => format!("the pods of {} have not been listed since staging", some_of(targets)),
            Self::PodsMissing { reported, counted, pods } => {
                format!("{reported} of {counted} pods have reported; waiting for {}", some_pods(pods))
            }
            Self::NotConverged { pods } => format!("pods that do not serve the active version yet: {}", some_pods(pods)),
            Self::SelectorsUnrecorded { targets, former } => selectors_message(targets, former),
            Self::NotApproved { version } => {
                format!("every other gate holds: set activation.approvedVersion to {version:?} to activate it")
            }
            Self::PublishingEntries { version } => format!("the entry files of version {version:?} are being written to the bucket"),
            Self::StepFailed { message } => message.clone(),
            Self::StepLost { step, cause } => format!("to {step} was decided again and again and not done: {cause}"),
            Self::LookFailed(failure) => failure.message().to_owned(),
            Self::GivenUp { version, message } => format!(
                "version {version:?} was taken back at its deadline ({message}); change the spec, or annotate the release with {}=<now> to try again",
                names::ANNOTATION_REQUESTED_AT
            ),
        }
    }

    /// Whether it makes doubtful that the store can be reached at all.
    #[must_use]
    pub fn doubts_the_store(&self) -> bool {
        // The names of the bucket's own failures: a job passes them on.
        const OF_THE_BUCKET: [&str; 5] = ["StoreUnavailable", "StoreAccessDenied", "BucketNotFound", "EndpointNotAllowed", "StoreRefused"];
        match self {
            Self::StoreUnusable { .. } => true,
            Self::ReplicaIncomplete { replica, .. } => replica.failure.is_some(),
            Self::BucketFault(_) | Self::JobFailed(_) => OF_THE_BUCKET.contains(&self.reason()),
            _ => false,
        }
    }

    /// Whether nothing more happens until somebody changes something (kstatus: Stalled).
    #[must_use]
    pub fn stalls(&self) -> bool {
        match self {
            Self::PrefixOwned { .. }
            | Self::PrefixOverlaps(_)
            | Self::SourceMissing { .. }
            | Self::ObjectsMissing { .. }
            | Self::PointerForeign { .. }
            | Self::PointerTaken { .. }
            | Self::PointerContested { .. }
            | Self::PointerUnreadable { .. }
            | Self::PointerVanished { .. }
            | Self::EpochAhead { .. }
            | Self::GivenUp { .. } => true,
            Self::JobFailed(failure) => failure.retry_at.is_none(),
            Self::AdoptionWaits(hold) => hold.stalls(),
            Self::LookFailed(failure) => !matches!(failure, LookFailure::Failing(_)),
            Self::Suspended
            | Self::StoreMissing { .. }
            | Self::StoreUnusable { .. }
            | Self::BucketFault(_)
            | Self::AskingStore { .. }
            | Self::Claiming { .. }
            | Self::NotPublished { .. }
            | Self::Publishing { .. }
            | Self::Verifying { .. }
            | Self::Replicating { .. }
            | Self::ReplicaIncomplete { .. }
            | Self::ReplicaUnusable { .. }
            | Self::WorkloadMissing { .. }
            | Self::NoPods { .. }
            | Self::PodsUnseen { .. }
            | Self::PodsMissing { .. }
            | Self::PodsFollowAnother { .. }
            | Self::NotConverged { .. }
            | Self::SelectorsUnrecorded { .. }
            | Self::NotApproved { .. }
            | Self::StepFailed { .. }
            | Self::StepLost { .. }
            | Self::PublishingEntries { .. } => false,
        }
    }
}

impl ReplicaEnd {
    /// What is wrong with it, in one sentence without a full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        let lacking = match &self.lacks {
            Lacks::Keys(keys) if keys.is_empty() => String::new(),
            Lacks::Keys(keys) => format!("lacks {} objects that the store lacks, too: {}", keys.len(), some_of(keys)),
            Lacks::Objects(0) => String::new(),
            Lacks::Objects(count) => format!("lacks {count} objects, which another publish is uploading now"),
        };
        match &self.failure {
            Some(failure) => format!("replica {:?}: {failure}", self.name),
            None => format!("replica {:?} {lacking}", self.name),
        }
    }
}

/// At most ten names, sorted, and how many more there are.
pub(super) fn some_of(names: &[String]) -> String {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let shown = sorted[..sorted.len().min(NAMES_MAX)].join(", ");
    match sorted.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn selectors_message(targets: &[String], former: &[String]) -> String {
    let targets = some_of(targets);
    if former.is_empty() {
        return format!("the selectors of {targets} are being written to status.selectors, which comes before the flip");
    }
    format!(
        "status.selectors has no room for those of {targets}: delete the pods of former selectors, which are forgotten ten minutes later: {}",
        some_of(former)
    )
}

fn some_pods(pods: &[LaggingPod]) -> String {
    some_of(&pods.iter().map(|pod| format!("{} ({})", pod.name, pod.why)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ForeignText;
    use crate::api::foreign::is_hidden;
    use crate::rollout::observed::{Operation, PointerField};

    #[test]
    fn a_message_names_at_most_ten_pods_in_a_fixed_order() {
        let pods: Vec<_> = (0..12).rev().map(|n| LaggingPod { name: format!("web-{n:02}"), why: "silent".into() }).collect();
        let message = Blocker::PodsMissing { reported: 3, counted: 15, pods }.message();
        assert!(message.starts_with("3 of 15 pods have reported; waiting for web-00 (silent), web-01 (silent)"), "{message}");
        assert!(message.ends_with("web-09 (silent) and 2 more"), "{message}");
    }

    #[test]
    fn a_forbidden_secret_says_which_role_is_missing() {
        let blocker = Blocker::StoreUnusable {
            store: "cdn".into(),
            namespace: "shop".into(),
            problem: StoreProblem::SecretForbidden("cdn-keys".into()),
        };
        assert_eq!(blocker.reason(), "CredentialsForbidden");
        let message = blocker.message();
        for wanted in [
            "add `{namespace: shop, name: cdn-keys}` to the chart's value `secrets`",
            "kubectl -n shop create role rollcall-cdn-keys --verb=get --resource=secrets --resource-name=cdn-keys",
        ] {
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn a_failure_stalls_only_when_time_cannot_mend_it() {
        let failure = |retry_at| Blocker::JobFailed(JobFailure { reason: "X", message: String::new(), retry_at });
        assert!(failure(None).stalls());
        assert!(!failure(Some(jiff::Timestamp::UNIX_EPOCH)).stalls());
    }

    /// Every text of others that a blocker can carry, at once: what a person reads of it stays in one line and shows everything.
    #[test]
    fn no_blocker_passes_on_what_a_terminal_obeys_or_a_reader_cannot_see() {
        let hostile = || format!("\u{1b}[2Jgpj.\u{202e}exe\n{}", "\u{301}".repeat(3000));
        let lagging = || vec![LaggingPod { name: "shop-0".into(), why: hostile() }];
        let failure = |failure: fn(String) -> LookFailure| Blocker::LookFailed(failure(hostile()));
        let text = || ForeignText::of(&hostile());
        let manager = || FieldManager { name: text(), operation: Operation::Update, subresource: Some(text()) };
        let labels = || ForeignLabels { pointer: Some(text()), release: Some(text()), set_by: Some(manager()) };
        let replica = || ReplicaEnd { name: "eu".into(), lacks: Lacks::Keys(vec![hostile()]), failure: Some(hostile()) };
        let blockers = [
            Blocker::StoreUnusable { store: "s".into(), namespace: "n".into(), problem: StoreProblem::Overwrites(hostile()) },
            Blocker::StoreUnusable { store: "s".into(), namespace: "n".into(), problem: StoreProblem::Invalid(hostile()) },
            Blocker::BucketFault(BucketFault { reason: "StoreRefused", message: hostile() }),
            Blocker::PrefixOwned {
                prefix: hostile(),
                owner: Owner { owner_version: 1, cluster: hostile(), release: hostile() },
                key: hostile(),
            },
            Blocker::JobFailed(JobFailure { reason: "SourceRejected", message: hostile(), retry_at: None }),
            Blocker::ObjectsMissing { version: hostile(), keys: vec![hostile(); 12] },
            Blocker::ReplicaIncomplete { version: hostile(), replica: replica() },
            Blocker::ReplicaUnusable { replica: "eu".into(), cause: hostile() },
            Blocker::PointerContested {
                config_map: "c".into(),
                contest: Contest { manager: Some(manager()), fields: PointerField::ALL.to_vec(), others: 3 },
            },
            Blocker::PointerTaken { config_map: "c".into(), release: hostile(), labelled_by: Some(manager()) },
            Blocker::PointerForeign { config_map: hostile(), release: "r".into(), labels: Box::new(labels()) },
            Blocker::AdoptionWaits(Box::new(AdoptionHold::LabelKept {
                config_map: hostile(),
                release: hostile(),
                heir: hostile(),
                by: manager(),
            })),
            Blocker::AdoptionWaits(Box::new(AdoptionHold::There { release: hostile() })),
            Blocker::PointerUnreadable { config_map: "c".into(), cause: hostile(), written_by: Some(manager()) },
            Blocker::PodsMissing { reported: 0, counted: 1, pods: lagging() },
            Blocker::PodsFollowAnother {
                config_map: "c".into(),
                other: OtherPointer { config_map: text(), release: Some(text()) },
                pods: vec!["shop-0".into(); 1000],
            },
            Blocker::NotConverged { pods: lagging() },
            Blocker::StepFailed { message: hostile() },
            Blocker::StepLost { step: "flip", cause: LossCause::Changed },
            failure(LookFailure::Denied),
            failure(LookFailure::Invalid),
            failure(LookFailure::Failing),
            failure(LookFailure::Panicked),
            Blocker::GivenUp { version: hostile(), message: hostile() },
        ];
        for blocker in blockers {
            let message = blocker.message();
            assert!(!message.chars().any(is_hidden), "{blocker:?}: {message:?}");
            assert!(message.len() <= MESSAGE_BYTES_MAX, "{blocker:?}: {} bytes", message.len());
        }
    }
}
