//! Looks at a prepared build with the lint rules before anything is sent. Never sends, and never decides what is grave: the rules do.

use super::target::Target;
use super::{Failure, say};
use crate::bucket::Bucket;
use crate::cli::LintArg;
use crate::lint::{Linter, Report, Severity, Subject};
use crate::manifest::readers::BuildNames;
use crate::upload::{self, Prepared, Publish, ReadFailure};

/// Findings of a build against the version before.
pub(super) async fn report(
    bucket: &dyn Bucket,
    target: &Target,
    (request, prepared): (&Publish, &Prepared),
    names: &BuildNames,
) -> Result<Report, Failure> {
    let previous = match upload::newest_other(bucket, &target.layout, &request.version).await? {
        None => None,
        Some(before) => match upload::read_manifest(bucket, &target.layout, &before.digest).await {
            // A damaged manifest of another version is that version's trouble: the rules go without it.
            Err(ReadFailure::Malformed { .. }) => None,
            read => read?,
        },
    };
    let manifest = &*prepared.manifest;
    let (base_urls, hosts) = (&target.base_urls[..], &target.hosts[..]);
    let closure = upload::closure_of(manifest, request, names)?;
    let mut linter = Linter::new(Subject { manifest, names, previous: previous.as_deref(), base_urls, hosts }).resolving(closure);
    for file in &manifest.files {
        if linter.reads(file) {
            linter.read(file, &String::from_utf8_lossy(&prepared.text(file).await?));
        }
    }
    Ok(linter.finish())
}

/// Tells people; fails if that was asked for.
pub(super) fn judge(report: &Report, strictness: LintArg) -> Result<(), Failure> {
    report.lines().iter().for_each(|line| say(line));
    match (strictness, report.count(Severity::Error)) {
        (LintArg::Report, _) | (_, 0) => Ok(()),
        (LintArg::Strict, errors) => Err(Failure::Lint { errors }),
    }
}
