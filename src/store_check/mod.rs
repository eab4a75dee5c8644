//! `rollcall store check`: whether a store can be used, for people who set one up.
//! Never leaves anything behind in the store that may be deleted, and never asks a CDN for what the store does not have yet (I6).

mod claims;
mod policy;
mod public;
mod references;

use serde_json::{Value, json};

use crate::api::foreign::{json_escaped, lines_escaped};
use crate::api::store::{Capability, WriteGuard};
use crate::bucket::BucketError;
use crate::bucket::probe::{Capabilities, Finding, Probe as _};
use crate::bucket::s3::S3Bucket;
use crate::cli::{CheckArgs, OutputArg};
use crate::clock::{Clock as _, SystemClock};
use crate::publish::{self, Target};
use crate::roles::RoleError;

/// Everything that was found out, each with its name.
struct Checked {
    capabilities: Capabilities,
    guard: WriteGuard,
    public: Vec<(&'static str, Finding)>,
    /// Whether prefixes of releases lie within each other.
    claims: Finding,
    /// Releases that use a prefix.
    references: Finding,
}

/// Checks, and says what was found.
///
/// # Errors
/// When the store cannot be reached or cannot be used as it is.
pub async fn run(args: CheckArgs) -> Result<(), RoleError> {
    let Target { settings, layout, guard, base_urls, .. } = publish::of_store(args.to.as_ref(), &args.cluster, &args.store).await?;
    let (bucket, prefix) = (S3Bucket::connect(&settings)?, layout.prefix());
    let capabilities = bucket.probe(prefix).await?;
    let public = match args.public_url.as_ref().or(base_urls.first()) {
        Some(url) if capabilities.objection_under(guard).is_none() => public::read_back(&bucket, prefix, url).await?,
        _ => Vec::new(),
    };
    let looked = claims::look(&bucket, &layout).await?;
    let references = references::found(&bucket, &looked.referred, SystemClock.now()).await?;
    let checked = Checked { capabilities, guard, public, claims: looked.overlaps, references };
    tell(&checked, &settings.bucket, prefix, args.output);
    checked.verdict()
}

impl Checked {
    fn all(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        let public = self.public.iter().map(|(name, finding)| (*name, finding));
        self.capabilities.each().into_iter().chain(public).chain([("claims", &self.claims), ("references", &self.references)])
    }

    /// What makes the store unusable: a store that overwrites, a public URL at which a page would break, and claims that overlap.
    fn verdict(&self) -> Result<(), RoleError> {
        if let Some(objection) = self.capabilities.objection_under(self.guard) {
            return Err(BucketError::Unfit(objection).into());
        }
        match self.public.iter().find(|(_, finding)| finding.capability == Capability::Ignored) {
            Some((name, finding)) => Err(format!("the public URL cannot be used: {name}: {}", finding.evidence).into()),
            None if self.claims.capability == Capability::Ignored => {
                Err(format!("prefixes of releases lie within each other: {}", self.claims.evidence).into())
            }
            None => Ok(()),
        }
    }

    fn json(&self, bucket: &str, prefix: &str) -> Value {
        let findings =
            self.all().map(|(name, finding)| (name.to_owned(), json!({"capability": finding.capability, "evidence": finding.evidence})));
        json!({
            "usable": self.verdict().is_ok(),
            "findings": findings.collect::<serde_json::Map<_, _>>(),
            "policies": {
                "writer": policy::writer(bucket, prefix),
                "follower": policy::follower(bucket, prefix),
                "reader": policy::reader(bucket, prefix),
            },
        })
    }

    fn table(&self) -> String {
        let line =
            |(name, finding): (&str, &Finding)| format!("{name:<22} {:<8} {}", format!("{:?}", finding.capability), finding.evidence);
        self.all().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn tell(checked: &Checked, bucket: &str, prefix: &str, output: OutputArg) {
    match output {
        OutputArg::Json => println!("{}", json_escaped(&format!("{:#}", checked.json(bucket, prefix)))),
        OutputArg::Text => println!(
            "{}\n\nPolicy for writers (controller, `rollcall publish`):\n{:#}\n\nPolicy for a cluster that only uses what another one publishes:\n{:#}\n\nBucket policy for CloudFront as the reader:\n{:#}",
            lines_escaped(&checked.table()),
            policy::writer(bucket, prefix),
            policy::follower(bucket, prefix),
            policy::reader(bucket, prefix)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_usable_when_creates_hold_and_nothing_public_is_broken() {
        let claims = || Finding::holds("none");
        let checked = |public| Checked {
            capabilities: Capabilities::strict(),
            guard: WriteGuard::Conditional,
            public,
            claims: claims(),
            references: claims(),
        };
        assert!(checked(vec![]).verdict().is_ok());
        assert!(checked(vec![("cors", Finding::unknown("x"))]).verdict().is_ok(), "it may be that no other host needs it");
        let broken = checked(vec![("missingIs404", Finding::ignored("an html page"))]);
        assert_eq!(broken.verdict().unwrap_err().to_string(), "the public URL cannot be used: missingIs404: an html page");
        assert_eq!(broken.json("web", "")["usable"], json!(false));
        assert!(broken.table().contains("missingIs404           Ignored  an html page"), "{}", broken.table());
        let lax = Capabilities { create_only: Finding::ignored("overwritten"), ..Capabilities::strict() };
        let under = |guard| Checked { capabilities: lax.clone(), guard, ..checked(vec![]) };
        let overlapping = Checked { claims: Finding::ignored("two"), ..checked(vec![]) };
        assert_eq!(overlapping.verdict().unwrap_err().to_string(), "prefixes of releases lie within each other: two");
        assert!(under(WriteGuard::Conditional).verdict().is_err() && under(WriteGuard::SingleWriter).verdict().is_ok());
    }
}
