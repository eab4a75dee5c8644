//! `rollcall publish`: a build's folder goes into a bucket, from a pipeline or a laptop.
//! Needs a cluster only where it is told to, and never does anything that the upload engine does not do for the controller.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::foreign::{json_escaped, lines_escaped};
use crate::bucket::Bucket;
use crate::cli::{OutputArg, PublishArgs};
use crate::clock::{Clock, SystemClock};
use crate::manifest::Evidence;
use crate::manifest::closure::Verdict;
use crate::manifest::readers::{BuildNames, Decided};
use crate::manifest::{Layout, Owner};
use crate::source::Build;
use crate::source::folder::{self, Selection};
use crate::upload::{self, Before, Claimed, PARALLEL, Prepared, Progress, Publish, PublishFailure, Publisher, Standing, Tools};

mod apply;
mod cluster;
mod digest;
mod failure;
mod lint;
mod opened;
mod place;
mod progress;
mod result;
mod retry;
mod target;

pub use digest::print_digest;
pub use failure::{Exit, Failure};
pub use opened::{Opened, open};
pub use place::{of_store, replicas_of_store};
pub use target::{BucketUrl, KeyPrefix, Target, version_label};

use cluster::Cluster;
use progress::{Teller, say};
use result::{Outcome, ReturningVisitor};
use retry::Retry;

/// Runners that stop a job kill it some ten seconds later.
const GRACE: Duration = Duration::from_secs(5);

/// Stands in the place of a release where none is named. It claims nothing.
const NOBODY: &str = "-/-";

/// Publishes, and says what was done.
///
/// # Errors
/// Says what stands against it.
pub async fn run(mut args: PublishArgs, cancel: CancellationToken) -> Result<(), Failure> {
    let needs_cluster = args.cluster.store.is_some() || args.apply.is_some();
    let cluster = if needs_cluster { Some(Cluster::connect(&args.cluster).await?) } else { None };
    if let Some(cluster) = &cluster {
        args.cluster.namespace = Some(cluster.namespace.clone());
    }
    let spec = match (&cluster, &args.apply) {
        (Some(cluster), Some(release)) => Some(cluster.release(release).await?.spec),
        _ => None,
    };
    if let Some(spec) = &spec {
        args.build = args.build.or_as(&spec.build);
    }
    let before = spec.map(|spec| spec.version);
    let target = place::of_publish(&args, cluster.as_ref()).await?;
    let clock = Arc::new(SystemClock);
    let opened = open(&target, clock.clone(), "rollcall publish")?;
    let outcome = published(&args, &target, opened.bucket.clone(), clock, &cancel).await;
    opened.close().await;
    let outcome = outcome?;
    print(&args, &outcome);
    if let Some((keys, first)) = outcome.refused() {
        return Err(Failure::WouldBeRefused { keys, first: first.to_owned() });
    }
    match (&cluster, &args.apply, before) {
        (Some(cluster), Some(release), Some(before)) => apply::apply(cluster, release, &before, &args.version, args.wait, &cancel).await,
        _ => Ok(()),
    }
}

/// All of the command but its words on standard output.
async fn published(
    args: &PublishArgs,
    target: &Target,
    bucket: Arc<dyn Bucket>,
    clock: Arc<dyn Clock>,
    cancel: &CancellationToken,
) -> Result<Outcome, Failure> {
    let (begun, retry) = (Instant::now(), Retry::within(args.retry_for, &*clock, cancel));
    let command = Command {
        args,
        target,
        request: request(args, target),
        tools: Tools { bucket, clock: clock.clone(), parallel: PARALLEL },
        sender: watch::Sender::new(Progress::default()),
    };
    let (prepared, names, verdict) = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(PublishFailure::Cancelled.into()),
        prepared = command.prepared() => prepared?,
    };
    let teller = Teller::new(command.sender.subscribe());
    let work = async {
        let layout = retry.until_read(async || command.claimed().await, |again| teller.again(again)).await?;
        prepared.check_excluded(&layout)?;
        let mut outcome = Outcome::of(&args.version, &prepared);
        if let Some(verdict) = &verdict {
            verdict.warnings().for_each(|warning| say(&format!("warning: {}: {}", warning.referrer, warning.finding())));
            outcome.looked_at(verdict);
        }
        if let Some(strictness) = args.lint {
            let read = async || lint::report(&*command.tools.bucket, target, (&command.request, &prepared), &names).await;
            let report = retry.until_read(read, |again| teller.again(again)).await?;
            lint::judge(&report, strictness)?;
            outcome.lint = Some(report);
            // Only now, so that the findings are told of a build that is refused, too.
            match prepared.check_closure(&command.request, &names).await {
                Ok(verdict) => outcome.looked_at(&verdict),
                // What is recorded was in order when it was published.
                Err(PublishFailure::InvalidBuild { .. }) if prepared.is_recorded(&*command.tools.bucket, &command.request).await? => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        drop(names);
        let before = if args.dry_run {
            let plan = async || Ok(upload::plan(&command.tools, &command.request, &prepared).await?);
            outcome.planned(retry.until_read(plan, |again| teller.again(again)).await?)
        } else {
            command.send(&prepared, &retry, &teller, cancel, &mut outcome).await?
        };
        outcome.returning_visitor = command.returning_visitor(&prepared, before).await;
        Ok::<_, Failure>(outcome)
    };
    let mut outcome = teller.beside(work).await?;
    outcome.seconds = begun.elapsed().as_secs_f64();
    Ok(outcome)
}

fn request(args: &PublishArgs, target: &Target) -> Publish {
    Publish {
        layout: target.layout.clone().excluding(&args.exclude_prefix),
        release: release(args),
        version: args.version.clone(),
        names: args.build.names(),
        declared: args.build.declared(),
        external: args.build.external.clone(),
        publisher: Publisher::Anybody,
        base_urls: args.build.public_url.iter().chain(&target.base_urls).cloned().collect(),
        pin: None,
    }
}

/// `NAMESPACE/NAME`; without a release it belongs to nobody.
fn release(args: &PublishArgs) -> String {
    let applied = || Some(format!("{}/{}", args.cluster.namespace.as_deref()?, args.apply.as_deref()?));
    args.release.clone().or_else(applied).unwrap_or_else(|| NOBODY.to_owned())
}

/// One run of the command.
struct Command<'a> {
    args: &'a PublishArgs,
    target: &'a Target,
    request: Publish,
    tools: Tools,
    sender: watch::Sender<Progress>,
}

impl Command<'_> {
    /// The build, read and found in order. With lint rules its references are looked at later, so that the findings are told first.
    async fn prepared(&self) -> Result<(Prepared, BuildNames, Option<Verdict>), Failure> {
        let selection = Selection::new(&self.args.include, &self.args.exclude);
        let build = folder::read(&self.args.folder, selection).await.map_err(PublishFailure::from)?;
        match self.read(build.clone()).await {
            // What is recorded was in order when it was published.
            Err(refused @ PublishFailure::InvalidBuild { .. }) => {
                match Prepared::recorded(&*self.tools.bucket, &self.request, &build).await {
                    Ok(Some(recorded)) => Ok((recorded, BuildNames::none(Decided::NothingFound), None)),
                    Ok(None) | Err(_) => Err(refused.into()),
                }
            }
            read => Ok(read?),
        }
    }

    async fn read(&self, build: Build) -> Result<(Prepared, BuildNames, Option<Verdict>), PublishFailure> {
        let (prepared, names) = Prepared::read(&self.request, build).await?;
        let verdict = if self.args.lint.is_none() { Some(prepared.check_closure(&self.request, &names).await?) } else { None };
        Ok((prepared, names, verdict))
    }

    /// Claims the prefix for the release, or sees that nobody has claimed it or a part of it: a typing error must not fill another
    /// application's prefix. Answers the prefix without what its claim excludes.
    async fn claimed(&self) -> Result<Layout, Failure> {
        let (bucket, release) = (&*self.tools.bucket, &self.request.release);
        let claim = upload::read_claim(bucket, &self.request.layout).await?;
        let excluded = claim.iter().flat_map(|claim| &claim.excluded_prefixes);
        let layout = self.request.layout.clone().excluding(excluded);
        if let Some(claim) = claim.filter(|claim| claim.owner.release != *release) {
            return Err(self.foreign(claim.owner));
        }
        let overlaps = |overlap| Failure::Overlaps { bucket: self.target.settings.bucket.clone(), overlap: Box::new(overlap) };
        if release == NOBODY {
            let above = upload::above(bucket, &layout).await?.into_iter().next();
            return above.map_or(Ok(layout), |overlap| Err(overlaps(overlap)));
        }
        let owner = Owner::new("", release);
        let standing = upload::standing(bucket, &layout, &owner, self.tools.clock.now()).await?;
        let claimed = match standing {
            Standing::Free | Standing::Renew | Standing::Yields if !self.args.dry_run => {
                upload::claim_owner(bucket, &layout, &owner).await?
            }
            Standing::Free | Standing::Renew | Standing::Yields | Standing::Ours => Claimed::Ours,
            Standing::Theirs(theirs) => Claimed::Theirs(theirs),
            Standing::Overlaps(overlap) => Claimed::Overlaps(overlap),
        };
        match claimed {
            Claimed::Ours => Ok(layout),
            Claimed::Theirs(theirs) => Err(self.foreign(theirs)),
            Claimed::Overlaps(overlap) => Err(overlaps(overlap)),
        }
    }

    fn foreign(&self, owner: Owner) -> Failure {
        Failure::ForeignPrefix {
            place: self.target.shown(),
            owner: owner.release,
            cluster: owner.cluster,
            release: self.request.release.clone(),
        }
    }

    /// Publishes; answers what was published before, if the engine has read it.
    async fn send(
        &self,
        prepared: &Prepared,
        retry: &Retry<'_>,
        teller: &Teller,
        cancel: &CancellationToken,
        outcome: &mut Outcome,
    ) -> Result<Option<Before>, Failure> {
        let earlier = Cell::new(Progress::default());
        let attempt = async || {
            let published = tokio::select! {
                published = upload::publish_prepared(&self.tools, &self.request, prepared, &self.sender, cancel) => published,
                () = grace_over(cancel) => Err(PublishFailure::Cancelled),
            };
            published.map_err(|failure| {
                let (sum, last) = (earlier.get(), *self.sender.borrow());
                let (objects_sent, bytes_sent) = (sum.objects_sent + last.objects_sent, sum.bytes_sent + last.bytes_sent);
                earlier.set(Progress { objects_sent, bytes_sent, ..sum });
                failure.into()
            })
        };
        let published = retry.until_done(attempt, |again| teller.again(again)).await?;
        outcome.sent(&published.progress, earlier.get());
        // An older program may have recorded this very build under another manifest.
        outcome.digest = published.record.digest.clone();
        let build = published.record.build.as_ref();
        outcome.vouched(build.and_then(|build| build.evidence.get(&Evidence::Set)).copied().unwrap_or_default());
        Ok(published.before)
    }

    /// For the result only: what cannot be read does not make the publish a failure.
    async fn returning_visitor(&self, prepared: &Prepared, known: Option<Before>) -> Option<ReturningVisitor> {
        let (bucket, Publish { layout, version, .. }) = (&*self.tools.bucket, &self.request);
        let before = match known {
            Some(before) => Ok(Some(before)),
            None => upload::before(bucket, layout, version, &prepared.manifest).await,
        };
        match before {
            Ok(before) => before.map(|Before { version, load_again }| ReturningVisitor { version, bytes: load_again }),
            Err(failure) => {
                say(&format!("what a returning visitor must load again is not known: {failure}"));
                None
            }
        }
    }
}

/// A cancelled publish takes its intent back; when the store does not answer, it stays.
async fn grace_over(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn print(args: &PublishArgs, outcome: &Outcome) {
    match args.output {
        OutputArg::Text => println!("{}", lines_escaped(&outcome.text())),
        OutputArg::Json => println!("{}", json_escaped(&outcome.json())),
    }
}

#[cfg(test)]
mod tests;
