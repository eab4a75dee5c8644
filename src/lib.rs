//! Rollcall: pages move to new assets only after every pod has them.
//!
//! ```text
//!            ┌──────────────────────────── again, when something changes ◀───────────────────────────┐
//!            ▼                                                                                       │
//!  look: controller::observe ──▶ think: rollout::decide ──▶ do: controller::act ──▶ tell: controller::publish
//!        reads only: pointer,          pure: facts in,           one step under          status, events,
//!        pods, release, store          one step out              its precondition        metrics
//!            ▲                                                        │
//!            └── how far they are ── jobs beside the loop ◀── start ──┤
//!                                    (upload, verify, entries)        ▼
//!        reports of the pods ◀──────────── agent ◀───────────── the pointer, a ConfigMap
//! ```
//!
//! To learn what moves the pointer and what can stop it, read [`rollout`], then `rollout/decide.rs` and `rollout/gates.rs`; what a
//! pod must do is in [`agent`]; what lies in a bucket, in [`manifest`].
//!
//! | module | what it is |
//! |---|---|
//! | [`api`] | the kinds, the pointer and the report: what others read and write (pure) |
//! | [`manifest`] | the list of files of a build, where each lies in a bucket, the small documents beside them (pure) |
//! | [`lint`] | what may go wrong with a build although it can be published (pure) |
//! | [`rollout`] | the decision: facts, gates, blockers, roll call, status (pure) |
//! | [`bucket`], [`source`] | outside systems: object stores; where builds come from |
//! | [`retention`], [`sweep`] | what nothing refers to any more (pure); its deletion, by a protocol that whoever uploads or rolls back knows |
//! | [`upload`] | a build into a bucket, so that every crash leaves something that can be finished |
//! | [`cluster`] | Kubernetes in bounded calls: the pointer, the view of pods, their reports |
//! | [`controller`] | the loop and its wiring |
//! | [`agent`] | the pod's half |
//! | [`store_headers`] | objects whose headers are not those that they were stored with, found and put right, for people |
//! | [`store_check`] | whether a store and its public URL can be used, for people |
//! | [`dev_store`] | an S3 store in a folder, to try things out |
//! | [`generate`] | everything in the repository that another part of it determines |
//! | [`serving`] | how every server of ours takes connections |
//! | [`cli`], [`roles`], [`telemetry`], [`admin`], [`metrics`], [`clock`] | what was typed, what becomes of it, and how one looks at it |
//!
//! Words, the same in YAML, code, logs and documentation:
//!
//! | word | meaning |
//! |---|---|
//! | release | one `AssetRelease`: the wish "this application's pages shall use these assets" |
//! | version | the user's label for one build; its **digest** is its identity: the SHA-256 of the stored manifest |
//! | manifest | the list of files of one build: path, key, size, hash, content type, cache policy, class, logical name |
//! | object | one immutable stored file; its key never gets other bytes |
//! | entry file | a file without a content hash in its name (html, `robots.txt`): written last, asked for again each time |
//! | store | an `AssetStore`: bucket, prefix, public URL |
//! | pointer | the `ConfigMap` that the pods read: `active`, `candidate`, `previous`, with `stage`, `sequence`, `epoch` |
//! | stage, flip, unstage | write a candidate under a new stage number; make it active; take it back: one conditional write each |
//! | report | what a pod announces, can serve and does serve, for which stage number |
//! | gate, blocker | a named precondition; the typed reason why it does not hold yet |
//! | roll call | which pods count, which of them have reported the candidate, who is excused, who lags behind |
//! | job | work beside the loop whose progress and end are facts |
//! | intent, tombstone | "I am about to use these objects"; "I am about to delete this one": each side writes its own, then reads the other's |
//! | sequence, stage, epoch | number of flips, of stagings, under which leadership (0 without an election); they only grow |
//!
//! Promises are numbered I1 to I12 (`docs/semantics.md`); the code and the tests cite them.

pub mod admin;
pub mod agent;
pub mod api;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod dev_store;
pub mod egress;
pub mod generate;
pub mod lint;
pub mod manifest;
pub mod metrics;
pub mod publish;
pub mod retention;
pub mod roles;
pub mod rollout;
pub mod serving;
pub mod source;
pub mod store_check;
pub mod store_headers;
pub mod sweep;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod upload;
