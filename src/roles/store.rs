//! `rollcall store`: what the controller does with a store by itself, done by a person. The same code, never a way around it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::RoleError;
use crate::api::foreign::{json_escaped, lines_escaped};
use crate::bucket::BucketError;
use crate::cli::{EndReferencesArgs, OutputArg, StoreCommand, SweepArgs};
use crate::clock::{Clock as _, SystemClock};
use crate::manifest::Layout;
use crate::publish;
use crate::retention::references::ends_at;
use crate::retention::{Plan, Tally};
use crate::sweep::{GRACE, Tools, plan, sweep};
use crate::upload::replica::Place;
use crate::upload::{self, Referred};

/// Does it.
pub(super) async fn run(command: StoreCommand) -> Result<(), RoleError> {
    match command {
        StoreCommand::Sweep(args) => run_sweep(&args).await,
        StoreCommand::Headers(args) => crate::store_headers::run(&args).await,
        StoreCommand::Check(args) => crate::store_check::run(args).await,
        StoreCommand::EndReferences(args) => end_references(&args).await,
    }
}

async fn end_references(args: &EndReferencesArgs) -> Result<(), RoleError> {
    let target = publish::of_store(args.to.as_ref(), &args.cluster, &args.store).await?;
    let (layout, clock) = (of_one_release(&target.layout)?, Arc::new(SystemClock));
    let opened = publish::open(&target, clock.clone(), "rollcall store end-references")?;
    let whose = (args.of_cluster.as_str(), args.of_release.as_str());
    let ended = upload::end_references_of(&*opened.bucket, layout, whose, clock.now()).await;
    opened.close().await;
    let said = ended_text(layout, whose, &ended?)?;
    let shown = match args.output {
        OutputArg::Text => lines_escaped(&format!("{said}\n")),
        OutputArg::Json => json_escaped(&format!("{}\n", json!({"message": said}))),
    };
    Ok(std::io::stdout().write_all(shown.as_bytes())?)
}

/// What became of it, for people.
fn ended_text(layout: &Layout, (cluster, release): (&str, &str), ended: &Referred) -> Result<String, RoleError> {
    let key = layout.references_of(cluster, release);
    match ended {
        Referred::Said(references) => {
            let until = ends_at(references).map_or_else(String::new, |at| at.to_string());
            Ok(format!(
                "{key:?} says that release {release} of cluster {cluster} is gone; what it used stays until {until} at most. If it is there after all, its next staging or sweep takes the document back"
            ))
        }
        Referred::Absent | Referred::Over | Referred::Successors => {
            Err(format!("{key:?} is not there: `rollcall store check` lists the releases that use a prefix, each with its cluster").into())
        }
    }
}

async fn run_sweep(args: &SweepArgs) -> Result<(), RoleError> {
    let target = publish::of_store(args.to.as_ref(), &args.cluster, &args.store).await?;
    let (layout, clock) = (of_one_release(&target.layout)?, Arc::new(SystemClock));
    let opened = publish::open(&target, clock.clone(), "rollcall store sweep")?;
    // Whoever names a bucket does not say which replicas it has: there the objects stay.
    let replicas = publish::replicas_of_store(&args.cluster, &args.store).await?;
    let replicas = replicas.iter().map(|replica| {
        let opened = publish::open(replica, clock.clone(), "rollcall store sweep")?;
        Ok(Place { bucket: opened.bucket, layout: replica.layout.clone() })
    });
    let replicas = replicas.collect::<Result<_, BucketError>>()?;
    let tools = Tools { bucket: opened.bucket.clone(), clock, grace: GRACE, replicas };
    let told = swept(args, &tools, layout).await;
    opened.close().await;
    Ok(std::io::stdout().write_all(told?.as_bytes())?)
}

/// Does what is asked for, and says it.
async fn swept(args: &SweepArgs, tools: &Tools, layout: &Layout) -> Result<String, RoleError> {
    let told = |plan: &Plan, deleted| match args.output {
        OutputArg::Text => lines_escaped(&text(plan, deleted)),
        OutputArg::Json => json_escaped(&format!("{}\n", json_of(plan, deleted))),
    };
    let said = |failure: crate::sweep::SweepFailure| format!("{}: nothing is deleted: {failure}", failure.reason());
    Ok(if args.dry_run {
        told(&plan(tools, layout).await.map_err(said)?, None)
    } else {
        tracing::info!(grace = ?GRACE, "objects are warned of before they go; ending this program at any moment is safe");
        let outcome = sweep(tools, layout, &format!("cli-{}", super::instance()?)).await.map_err(said)?;
        told(&outcome.plan, Some(outcome.deleted))
    })
}

/// Without a prefix everything in the bucket would be taken for one release's.
fn of_one_release(layout: &Layout) -> Result<&Layout, RoleError> {
    if layout.prefix().is_empty() {
        Err("name the prefix of one release: --to s3://BUCKET/PREFIX/, or --store with --prefix".into())
    } else {
        Ok(layout)
    }
}

fn text(plan: &Plan, deleted: Option<Tally>) -> String {
    let mut text = String::new();
    for (digest, reasons) in &plan.roots.kept {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "stays  {}  {}", digest.short(), reasons.join("; "));
    }
    for (digest, going) in &plan.roots.going {
        let versions: Vec<&str> = going.versions.iter().map(String::as_str).collect();
        let versions = if versions.is_empty() { "never recorded".to_owned() } else { versions.join(", ") };
        let pins: Vec<&str> = going.pins.iter().map(String::as_str).collect();
        let but = if pins.is_empty() { String::new() } else { format!(" but for {}", pins.join(", ")) };
        let _ = writeln!(text, "goes   {}  {versions}{but}", digest.short());
    }
    for nested in &plan.nested {
        let _ = writeln!(text, "alone  {nested}");
    }
    for referrer in &plan.referrers {
        let _ = writeln!(text, "used   by {referrer}");
    }
    let lines = [("stay", plan.kept), ("stay by a pin", plan.pinned), ("are not ours and stay", plan.unknown), ("go", plan.going)];
    for (what, tally) in lines {
        let _ = writeln!(text, "{} objects, {} bytes {what}", tally.objects, tally.bytes);
    }
    if let Some(deleted) = deleted {
        let _ = writeln!(text, "{} objects, {} bytes were deleted", deleted.objects, deleted.bytes);
    }
    text
}

fn json_of(plan: &Plan, deleted: Option<Tally>) -> serde_json::Value {
    let tally = |tally: Tally| json!({"objects": tally.objects, "bytes": tally.bytes});
    let kept = plan.roots.kept.iter();
    let kept: Vec<_> = kept
        .map(|(digest, reasons)| json!({"digest": digest, "reasons": reasons.iter().map(ToString::to_string).collect::<Vec<_>>()}))
        .collect();
    let going = plan.roots.going.iter();
    let going: Vec<_> = going.map(|(digest, going)| json!({"digest": digest, "versions": going.versions, "pins": going.pins})).collect();
    json!({
        "stays": kept,
        "goes": going,
        "nested": plan.nested.iter().map(|one| json!({"prefix": one.below, "release": one.release})).collect::<Vec<_>>(),
        "referrers": plan.referrers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kept": tally(plan.kept),
        "pinned": tally(plan.pinned),
        "unknown": tally(plan.unknown),
        "going": tally(plan.going),
        "deleted": deleted.map(tally),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ManifestDigest;
    use crate::manifest::record::Role;
    use crate::retention::Reason;
    use crate::retention::roots::Going;

    #[test]
    fn a_whole_bucket_is_no_prefix_of_a_release() {
        assert!(of_one_release(&Layout::new("", "shop/")).is_ok() && of_one_release(&Layout::new("", "")).is_err());
    }

    #[test]
    fn a_plan_says_of_each_build_why_it_stays() {
        let mut plan = Plan::default();
        let (stays, goes) = (ManifestDigest::of(b"1"), ManifestDigest::of(b"2"));
        plan.roots.kept.insert(stays.clone(), [Reason::Used { release: "web/shop".into(), role: Role::Active }, Reason::Page].into());
        let going = Going { versions: ["v1".to_owned()].into(), pins: ["mail/**".to_owned()].into() };
        plan.roots.going.insert(goes.clone(), going);
        plan.going = Tally { objects: 3, bytes: 30 };
        let said = text(&plan, None);
        assert!(said.contains(&format!("stays  {}  active in web/shop; a public page is of it\n", stays.short())), "{said}");
        assert!(said.contains(&format!("goes   {}  v1 but for mail/**\n", goes.short())), "{said}");
        assert!(said.ends_with("3 objects, 30 bytes go\n"), "{said}");
        assert_eq!(json_of(&plan, None)["goes"][0]["versions"], json!(["v1"]));
    }
}
