//! One sample of every blocker and what to do about it: the page `docs/reference/blockers.md` is made of this.
//! Never decides anything, and never says what a message says already.

use crate::manifest::{Overlap, Owner};

use super::super::observed::{Contest, FieldManager, Lacks, Operation, OtherPointer, PointerField, ReplicaEnd, StoreProblem};
use super::{AdoptionHold, Blocker, LaggingPod, LookFailure, LossCause};

impl Blocker {
    /// What to do about it, for people. Exhaustive, so that a new blocker cannot come without its advice.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Suspended
            | Self::PodsUnseen { .. }
            | Self::AskingStore { .. }
            | Self::Claiming { .. }
            | Self::Publishing { .. }
            | Self::Verifying { .. }
            | Self::Replicating { .. }
            | Self::PublishingEntries { .. } => self.advice_to_wait(),
            Self::StoreMissing { .. }
            | Self::StoreUnusable { .. }
            | Self::PrefixOwned { .. }
            | Self::PrefixOverlaps(_)
            | Self::ObjectsMissing { .. }
            | Self::ReplicaIncomplete { .. }
            | Self::ReplicaUnusable { .. } => self.store_advice(),
            Self::PointerContested { .. }
            | Self::PointerForeign { .. }
            | Self::PointerTaken { .. }
            | Self::PointerUnreadable { .. }
            | Self::PointerVanished { .. }
            | Self::EpochAhead { .. } => self.pointer_advice(),
            Self::AdoptionWaits(hold) => hold.advice(),
            Self::BucketFault(_) | Self::JobFailed(_) => "See the reason's own entry below.",
            Self::SourceMissing { .. } => {
                "Give `spec.source` for a new version. To roll back, name a version from `status.history`: its name is exact, `v1` is not `V1`."
            }
            Self::NotPublished { .. } => {
                "The pipeline publishes the version (`rollcall publish`); the store is asked every 30 seconds. If it has ended: compare the version's name, bucket and prefix letter by letter."
            }
            Self::WorkloadMissing { .. } => {
                "Correct a typing error in `spec.targets`, or apply the workload. With `activation.onMissingWorkload: Proceed` a release may stand in an earlier wave than its code."
            }
            Self::NoPods { .. } => {
                "Scale the workload up, or set `activation.onZeroReplicas: Proceed`, which is safe with agents: a pod that is born later reads the pointer first."
            }
            Self::PodsMissing { .. } => {
                "Look at the pods that are named, each with what is known of it: *silent* has an agent that never wrote (look at its log and its ServiceAccount's binding to `rollcall-agent`), *has no agent* comes from another template, *loading* fetches, a problem is quoted from the agent's report. Delete a pod that hangs, set `silentPods: ExcuseAfter` for those that may, or set `spec.version` back."
            }
            Self::PodsFollowAnother { .. } => {
                "Two releases name one workload in `spec.targets`, or the agents of its pods were given another pointer (the annotation `rollcall.dev/pointer` of the kustomize component, `--pointer`). Nothing is wrong with the pods: do not delete them. While a workload moves from that pointer to this one, this goes away with the rolling update; where that waits for this release in its turn, skip `EveryPodReported` once by `activation.override`, for the build that the pods serve already."
            }
            Self::NotConverged { .. } => {
                "After a flip this lasts seconds. If it stays: an application that renders pages has not confirmed the new name map, or an agent cannot switch; both are in the pod's report. Nothing skips this gate; deleting the pod helps. A pod that is not Ready counts while it says that it serves an older version, because it may be Ready again without a restart; it does not count while its agent's container does not run, nor after its node has not answered for five minutes. Pods whose workload is missing, and those of a former target or selector (`status.selectors`), serve pages as all others do, and count until they are gone: delete them when nothing needs them. `silentPods: ExcuseAfter` excuses here only pods that have no agent and never reported (*has no agent*), that long after the flip."
            }
            Self::SelectorsUnrecorded { .. } => {
                "Nothing to do: the next write of the status records them. If it stays, the field is lost on its way: apply the CRDs of this version, which have `status.selectors`. If there is no room, pods of very many former targets or selectors still run: delete those pods."
            }
            Self::NotApproved { .. } => {
                "Look at the candidate, then set `activation.approvedVersion`. The deadline stands still meanwhile."
            }
            Self::StepFailed { .. } => {
                "What the API server or the store answered is in the message; the call is retried with exponential backoff. A right that is missing (`forbidden`) is in the chart's ClusterRole; a webhook or a quota that refuses is yours."
            }
            Self::StepLost { .. } => {
                "A loss is normal while another program writes the same object, and the step is decided anew at once; three in a row are not. Find the other writer of the pointer or of the release, or see why the API server answers so slowly. The release goes on by itself."
            }
            Self::LookFailed(failure) => failure.advice(),
            Self::GivenUp { .. } => {
                "The message says what was missing at the deadline. Correct that, then change the spec or set the annotation. The active version was never touched."
            }
        }
    }

    fn advice_to_wait(&self) -> &'static str {
        match self {
            Self::Suspended => "Set `spec.suspend: false`. The active version is served meanwhile.",
            Self::PodsUnseen { .. } => {
                "Nothing: the list takes less than a second. If it stays, the controller may not list pods; its log says so."
            }
            Self::AskingStore { .. } => {
                "Nothing: a store that is well answers within a second. If it stays, its endpoint accepts connections and does not answer, which is reported as `StoreUnavailable` 15 seconds after the request, or many other stores are asked at the same time."
            }
            Self::Publishing { .. } => {
                "Nothing; `status.candidate.upload` shows how far it is. A newer version or `spec.suspend` ends it at once."
            }
            _ => "Nothing; it is work under way.",
        }
    }

    fn store_advice(&self) -> &'static str {
        match self {
            Self::StoreUnusable { problem, .. } => problem.advice(),
            Self::PrefixOwned { .. } => {
                "Two releases that write below one prefix would sweep each other's files, so the first one owns it. Other clusters may read it, not write it. A release that was renamed takes its prefix along by `spec.adoptFrom`."
            }
            Self::PrefixOverlaps(_) => {
                "A release has every key that begins with its prefix, so two of them never lie within each other: they would sweep and replace each other's files. Give the new one a prefix beside the other. If a site has others below it on purpose, name those folders in `spec.excludedPrefixes` of the outer release: it publishes and sweeps nothing there, and a release may claim a prefix within."
            }
            Self::ObjectsMissing { .. } => {
                "A person, a program or a lifecycle rule of the bucket deleted objects. Exclude the prefix from such rules. With `spec.source` set, the version is published again by itself."
            }
            Self::ReplicaIncomplete { .. } => {
                "Correct what the message says about the replica: its endpoint, credentials, rights or free space, or what another program wrote below its prefix. Rollcall retries every 30 seconds; the active version is served meanwhile, from the replica too. If visitors can do without the replica, take it out of `spec.replicas` of the AssetStore: the release goes on at once."
            }
            Self::ReplicaUnusable { .. } => {
                "The AssetStore's status says so, and each release that needs the replica. Correct what the message says, or take the replica out of `spec.replicas`. Rollcall checks it again every 30 seconds; nothing is activated or swept meanwhile, and what is active stays."
            }
            _ => "Apply the AssetStore in the release's namespace.",
        }
    }

    fn pointer_advice(&self) -> &'static str {
        match self {
            Self::PointerContested { .. } => {
                "The message names the fields and who has them, as `kubectl get configmap NAME -o yaml --show-managed-fields` lists them. Often it is a GitOps tool that has the ConfigMap in its repository: keep it there without the keys `pointer.json` and `manifest.json`, or take it out. Labels, annotations and other keys may be anyone's. Rollcall never takes a field away from another manager. Pods go on serving what they have, also while the ConfigMap is away."
            }
            Self::PointerForeign { .. } => {
                "Rollcall writes an existing ConfigMap only after its owner has labelled it; the admission policy holds the controller to that. Leave the name out of your manifests and Rollcall makes the ConfigMap itself; or keep it in Git with both labels and without the keys `pointer.json` and `manifest.json`."
            }
            Self::PointerTaken { .. } => {
                "Two releases must not share a pointer: its pods would follow both. A release that was renamed takes its pointer along by `spec.adoptFrom`."
            }
            Self::PointerUnreadable { .. } => {
                "Written by hand, or by a newer Rollcall: then upgrade this one instead. Pods go on serving what they have."
            }
            Self::EpochAhead { .. } => {
                "Two installations manage the same namespace: give each its own by `watchNamespaces`. Pods go on serving what they have, and nothing is lost by deleting the ConfigMap."
            }
            _ => {
                "Pods have seen a later flip than the status knows, so making it again could move them back. Restore the ConfigMap; or, if the pods may go back, delete the pods that report the later flip. Only what more than half of the reporting pods say counts; pods that report a flip which never was have a broken agent, or lie: deleting them is enough. Agents of before do not name the pointer that they follow: if the pods are another release's, correct `spec.targets` instead."
            }
        }
    }

    /// One sample of every variant, and of `StoreUnusable` one for each problem. The test below holds it complete.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        [preparing(), of_the_pointer(), of_the_roll_call()].concat()
    }
}

impl LookFailure {
    /// What to do about it, for people.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Denied(_) => {
                "Nothing was decided, and everything else in the status is as it was seen last. Upgrade the chart or apply `deploy/rollcall.yaml` again, whose roles have every right that the controller needs; it is tried again, every five minutes at the latest."
            }
            Self::Invalid(_) => {
                "Correct the object that is named. A field or value that the message calls unknown is one of a CRD that is newer than the controller: upgrade the controllers, or remove it. If there is nothing wrong with the object, report a bug with the controller's log."
            }
            Self::Failing(_) => {
                "Reported after five failed attempts in a row, about eight seconds. Look at the API server; pods go on serving, and the release goes on by itself."
            }
            Self::Panicked(_) => {
                "Report it with the controller's log. Other releases are not touched; this one is retried with exponential backoff."
            }
        }
    }
}

impl StoreProblem {
    /// What to do about it, for people.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::SecretMissing(_) => "It lies in the namespace of the AssetStore. It is looked for every ten seconds.",
            Self::SecretForbidden(_) => {
                "The chart's value `secrets` makes Role and RoleBinding for each Secret that it lists. The controller has no right to read other Secrets."
            }
            Self::SecretIncomplete(..) => "It needs `accessKeyId` and `secretAccessKey`, and `sessionToken` if the keys are temporary.",
            Self::NotGranted(_) => {
                "The controller's own cloud identity may read and write what no tenant may, so the operator of the controller says who may use it for what: by namespace, bucket and prefix, and by endpoint if that is not AWS. A Secret of the namespace needs no such grant."
            }
            Self::Invalid(_) => "Correct the AssetStore's spec.",
            Self::Overwrites(_) => {
                "Two publishers could mix their bytes under one name, or a sweep take what a release is about to use, without an error, so nothing is published there. Move to a store that honours conditional writes (`rollcall store check` tests one), or upgrade this one; `spec.writeGuard: SingleWriter` of the AssetStore lets one program write at a time instead, which is weaker. It is tried again every ten minutes, and at once when the controller restarts."
            }
            Self::ListsUnreliably(_) => {
                "Who uses objects is found by listing small documents; with one that is not seen, a sweep could take what a page needs. Ask the store's operators for strongly consistent listings; a cache or proxy between here and the store is a usual cause. It is tried again every ten minutes."
            }
        }
    }
}

fn preparing() -> Vec<Blocker> {
    let (store, namespace, version) = (|| "cdn".to_owned(), || "shop".to_owned(), || "v2".to_owned());
    let unusable = |problem| Blocker::StoreUnusable { store: store(), namespace: namespace(), problem };
    let owner = Owner { owner_version: 1, cluster: "3f1c…".into(), release: "shop/old".into() };
    vec![
        Blocker::Suspended,
        Blocker::StoreMissing { store: store() },
        unusable(StoreProblem::SecretMissing("keys".into())),
        unusable(StoreProblem::SecretForbidden("keys".into())),
        unusable(StoreProblem::SecretIncomplete("keys".into(), "accessKeyId".into())),
        unusable(StoreProblem::NotGranted("{namespaces: [shop], bucket: web-assets, prefix: shop/}".into())),
        unusable(StoreProblem::Invalid("endpoint: not a URL".into())),
        unusable(StoreProblem::Overwrites(
            "it does not honour the conditions of writes: a second create of one key was accepted and overwrote the first: the condition was ignored; use a store that does, or the write guard SingleWriter, which is weaker".into(),
        )),
        unusable(StoreProblem::ListsUnreliably(
            "its listings cannot be relied on: of 3 objects 1 were not in the listing that followed their write, or with another token than their own; use a store whose listings show everything that was written before".into(),
        )),
        Blocker::AskingStore { store: store() },
        Blocker::Claiming { prefix: "shop/".into() },
        Blocker::PrefixOwned { prefix: "shop/".into(), owner, key: "shop/.rollcall/owner.json".into() },
        Blocker::PrefixOverlaps(Overlap {
            ours: "shop/admin/".into(),
            theirs: "shop/".into(),
            owner: Some(Owner { owner_version: 1, cluster: "3f1c…".into(), release: "shop/shop".into() }),
        }),
        Blocker::SourceMissing { version: version() },
        Blocker::NotPublished { version: version(), prefix: "shop/".into() },
        Blocker::Publishing { version: version() },
        Blocker::Verifying { version: version() },
        Blocker::ObjectsMissing { version: version(), keys: vec!["shop/assets/main-BEcQUh0e.js".into()] },
        Blocker::Replicating { version: version() },
        Blocker::ReplicaIncomplete {
            version: version(),
            replica: ReplicaEnd {
                name: "eu".into(),
                lacks: Lacks::Keys(Vec::new()),
                failure: Some("create \"shop/assets/main-BEcQUh0e.js\" was denied: 403 AccessDenied".into()),
            },
        },
        Blocker::ReplicaUnusable { replica: "eu".into(), cause: "bucket \"assets-eu\" does not exist".into() },
    ]
}

fn of_the_pointer() -> Vec<Blocker> {
    let config_map = || "shop-assets".to_owned();
    vec![
        Blocker::PointerContested {
            config_map: config_map(),
            contest: Contest {
                manager: Some(FieldManager { name: "argocd-controller".into(), operation: Operation::Apply, subresource: None }),
                fields: vec![PointerField::Document],
                others: 0,
            },
        },
        Blocker::PointerForeign { config_map: "kube-root-ca.crt".into(), release: "shop".into(), labels: Box::default() },
        Blocker::PointerTaken { config_map: config_map(), release: "shop-old".into(), labelled_by: None },
        Blocker::AdoptionWaits(Box::new(AdoptionHold::There { release: "shop-old".into() })),
        Blocker::AdoptionWaits(Box::new(AdoptionHold::LabelKept {
            config_map: config_map(),
            release: "shop-old".into(),
            heir: "shop".into(),
            by: FieldManager { name: "kustomize-controller".into(), operation: Operation::Apply, subresource: None },
        })),
        Blocker::PointerUnreadable {
            config_map: config_map(),
            cause: "pointer protocol 2 is not known here (this build knows 1)".into(),
            written_by: None,
        },
        Blocker::PointerVanished { config_map: config_map(), pods: vec!["shop-7d9f-x2x".into()], reported: 8, known: 7 },
        Blocker::EpochAhead { config_map: config_map(), pointer: 28_944_000, ours: 28_857_600 },
    ]
}

fn of_the_roll_call() -> Vec<Blocker> {
    let (version, targets) = (|| "v2".to_owned(), || vec!["Deployment/shop".to_owned()]);
    let failed = Blocker::LookFailed;
    let pod = |why: &str| vec![LaggingPod { name: "shop-7d9f-x2x".into(), why: why.into() }];
    vec![
        Blocker::WorkloadMissing { targets: targets() },
        Blocker::NoPods { targets: targets() },
        Blocker::PodsUnseen { targets: targets() },
        Blocker::PodsMissing { reported: 2, counted: 3, pods: pod("loading") },
        Blocker::PodsFollowAnother {
            config_map: "shop-assets".into(),
            other: OtherPointer { config_map: "cart-assets".into(), release: Some("cart".into()) },
            pods: vec!["cart-5b8c-q7m".into()],
        },
        Blocker::NotConverged { pods: pod("serves sha256:5f3a…") },
        Blocker::SelectorsUnrecorded { targets: targets(), former: Vec::new() },
        Blocker::NotApproved { version: version() },
        Blocker::PublishingEntries { version: version() },
        Blocker::StepFailed { message: "apply ConfigMap shop/shop-assets failed: configmaps is forbidden".into() },
        Blocker::StepLost { step: "flip", cause: LossCause::Changed },
        failed(LookFailure::Denied("get Deployment shop/web failed: deployments.apps is forbidden; give the controller's ServiceAccount `get` on Deployment in namespace shop, as the chart's controller role does".into())),
        failed(LookFailure::Invalid("read the workload's selector failed: it is not a selector; correct what is named here".into())),
        failed(LookFailure::Failing("get ConfigMap shop/shop-assets failed: no answer within 10 s; the call is retried with exponential backoff".into())),
        failed(LookFailure::Panicked("the pass panicked: index out of bounds; this is a bug in Rollcall".into())),
        Blocker::GivenUp { version: version(), message: Blocker::PodsMissing { reported: 2, counted: 3, pods: pod("silent") }.message() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variants_of(source: &str, kind: &str) -> Vec<String> {
        let body = source.split(&format!("pub enum {kind} {{")).nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
        let names = body.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase));
        names.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
    }

    #[test]
    fn every_blocker_and_every_problem_of_a_store_has_a_sample() {
        let sampled = format!("{:?}", Blocker::samples());
        let problems = variants_of(include_str!("../observed.rs"), "StoreProblem");
        let failures = variants_of(include_str!("look.rs"), "LookFailure");
        for variant in variants_of(include_str!("../blocker.rs"), "Blocker").iter().chain(&problems).chain(&failures) {
            // These two carry the reasons of others, which have samples of their own.
            let is_carrier = variant == "BucketFault" || variant == "JobFailed";
            assert!(is_carrier || sampled.contains(variant.as_str()), "{variant}");
        }
    }

    #[test]
    fn every_blocker_says_what_to_do_and_what_is_missing() {
        for blocker in Blocker::samples() {
            assert!(blocker.advice().ends_with('.') && blocker.advice().len() > 20, "{blocker:?}");
            assert!(blocker.message().len() > 10, "{blocker:?}");
        }
    }
}
