//! `rollcall store headers`: objects of a version whose headers are not those that Rollcall stores them with, found and, when asked,
//! put right. Never changes bytes, and never puts headers onto an object whose bytes are not the version's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::foreign::{json_escaped, lines_escaped};
use crate::api::store::WriteGuard;
use crate::bucket::s3::{Mended, S3Bucket};
use crate::cli::{HeadersArgs, OutputArg};
use crate::clock::{Clock as _, SystemClock};
use crate::publish::{self, Target};
use crate::roles::RoleError;
use crate::upload::neighbours::{Foreign, Neighbours};
use crate::upload::{self, Drifted, Extent, HeadersSeen, Origin, Tried, has_right_bytes};

/// What was seen, and what became of each drifted object.
struct Looked {
    seen: HeadersSeen,
    fates: BTreeMap<String, Fate>,
}

/// What became of an object whose headers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Nobody asked for more.
    Left,
    Repaired,
    /// Its bytes are not the version's.
    OtherBytes,
    Failed(String),
}

/// Looks, repairs when asked, and says what was found.
///
/// # Errors
/// When the store cannot be reached, the version is not there, or something differs afterwards.
pub async fn run(args: &HeadersArgs) -> Result<(), RoleError> {
    let target = publish::of_store(args.to.as_ref(), &args.cluster, &args.store).await?;
    if args.repair && target.guard == WriteGuard::SingleWriter {
        return Err(
            "--repair is not done under the write guard SingleWriter: a store that ignores conditions may copy over newer bytes".into()
        );
    }
    let (bucket, layout) = (Arc::new(S3Bucket::connect(&target.settings)?), &target.layout);
    let Some(record) = upload::read_record(&*bucket, layout, &args.version).await? else {
        return Err(format!("{} has no version {:?}", target.shown(), args.version).into());
    };
    let Some(manifest) = upload::read_manifest(&*bucket, layout, &record.digest).await? else {
        return Err(format!("the manifest of version {:?}, {:?}, is not there", args.version, layout.manifest(&record.digest)).into());
    };
    // Another run looks at others.
    let turn = || usize::try_from(SystemClock.now().as_second()).unwrap_or(0);
    let extent = args.sample.map_or(Extent::All, |count| Extent::Sample { count, turn: turn() });
    let seen = upload::headers_of(&*bucket, layout, &manifest, extent).await?;
    let mut looked = Looked { seen, fates: BTreeMap::new() };
    if args.repair && !looked.seen.drifted.is_empty() {
        copies_under_conditions(&target, &bucket).await?;
    }
    // Who published the version has the prefix, or had it.
    let neighbours = Neighbours::new(&*bucket, layout, &record.release);
    for drifted in &looked.seen.drifted {
        let fate = if args.repair { repaired(&bucket, &neighbours, drifted).await? } else { Fate::Left };
        looked.fates.insert(drifted.key.clone(), fate);
    }
    let told = match args.output {
        OutputArg::Text => lines_escaped(&looked.text()),
        OutputArg::Json => json_escaped(&format!("{:#}\n", looked.json(&args.version))),
    };
    std::io::stdout().write_all(told.as_bytes())?;
    looked.verdict()
}

/// A repair is a copy of exactly the object that was seen: a store that copies whatever is there by then could put old bytes over new.
async fn copies_under_conditions(target: &Target, bucket: &Arc<S3Bucket>) -> Result<(), RoleError> {
    let origin = Origin { endpoint: target.settings.endpoint.as_deref(), bucket: &target.settings.bucket, guard: target.guard };
    let tried = Tried::before_writing(bucket.clone(), origin, &target.layout, Arc::new(SystemClock));
    match &tried.found().await?.copy {
        copy if copy.is_held() => Ok(()),
        copy => Err(format!("--repair is not done in a store that was not seen to copy under conditions: {}", copy.evidence).into()),
    }
}

async fn repaired(bucket: &S3Bucket, neighbours: &Neighbours<'_>, drifted: &Drifted) -> Result<Fate, RoleError> {
    if let Some(Foreign { release, because }) = neighbours.of_object(&drifted.key, &drifted.found).await? {
        return Ok(Fate::Failed(format!("it belongs to {release}: {because}")));
    }
    if !has_right_bytes(bucket, drifted).await? {
        return Ok(Fate::OtherBytes);
    }
    Ok(match bucket.mend_headers(&drifted.key, &drifted.found, &drifted.expected).await? {
        Mended::Done => Fate::Repaired,
        Mended::Changed => Fate::Failed("another program wrote it in the meantime".to_owned()),
        Mended::Unable(said) => Fate::Failed(said),
    })
}

impl Looked {
    fn verdict(&self) -> Result<(), RoleError> {
        let left = self.fates.values().filter(|fate| **fate != Fate::Repaired).count();
        let (missing, other) = (self.seen.missing.len(), self.seen.other_bytes.len());
        if left + missing + other == 0 {
            return Ok(());
        }
        Err(format!("{left} objects have other headers, {missing} are not there, {other} have other bytes").into())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for drifted in &self.seen.drifted {
            let end = match &self.fates[&drifted.key] {
                Fate::Left => String::new(),
                Fate::Repaired => ": repaired".to_owned(),
                Fate::OtherBytes => ": its bytes are not the version's, so it was left alone".to_owned(),
                Fate::Failed(said) => format!(": not repaired: {said}"),
            };
            let _ = writeln!(text, "differs  {}{end}", drifted.key);
            for one in &drifted.differences {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                let _ = writeln!(text, "         {}: {} instead of {}", one.header, shown(&one.found), shown(&one.expected));
            }
        }
        for (word, keys) in [("missing ", &self.seen.missing), ("other   ", &self.seen.other_bytes)] {
            for key in keys {
                let _ = writeln!(text, "{word} {key}");
            }
        }
        let _ = writeln!(text, "{} objects were looked at, {} have other headers", self.seen.looked, self.seen.drifted.len());
        text
    }

    fn json(&self, version: &str) -> Value {
        let drifted = self.seen.drifted.iter().map(|drifted| {
            let (repaired, cause) = match &self.fates[&drifted.key] {
                Fate::Left => (false, None),
                Fate::Repaired => (true, None),
                Fate::OtherBytes => (false, Some("its bytes are not the version's")),
                Fate::Failed(said) => (false, Some(said.as_str())),
            };
            json!({"key": drifted.key, "differences": drifted.differences, "repaired": repaired, "cause": cause})
        });
        json!({
            "version": version,
            "looked": self.seen.looked,
            "drifted": drifted.collect::<Vec<_>>(),
            "missing": self.seen.missing,
            "otherBytes": self.seen.other_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ContentHash;
    use crate::bucket::{Attributes, Stored};
    use crate::upload::Difference;

    fn looked(fate: Fate) -> Looked {
        let sha256 = ContentHash::of(b"x");
        let drifted = Drifted {
            key: "shop/a.js".to_owned(),
            found: Stored {
                size: 1,
                etag: "\"t\"".to_owned(),
                sha256: None,
                computed: None,
                content_type: Some("text/plain".to_owned()),
                cache_control: None,
                content_encoding: None,
                writer: None,
                sequence: None,
                last_modified: jiff::Timestamp::UNIX_EPOCH,
            },
            expected: Attributes {
                content_type: "text/javascript".to_owned(),
                cache_control: "no-cache".to_owned(),
                content_encoding: None,
                sha256,
                writer: None,
                sequence: None,
            },
            differences: vec![Difference {
                header: "content-type",
                expected: Some("text/javascript".to_owned()),
                found: Some("text/plain".to_owned()),
            }],
        };
        let fates = BTreeMap::from([(drifted.key.clone(), fate)]);
        Looked { seen: HeadersSeen { looked: 3, drifted: vec![drifted], ..HeadersSeen::default() }, fates }
    }

    #[test]
    fn drift_fails_until_it_is_repaired_and_is_told_header_by_header() {
        let left = looked(Fate::Left);
        assert_eq!(left.verdict().unwrap_err().to_string(), "1 objects have other headers, 0 are not there, 0 have other bytes");
        assert_eq!(
            left.text(),
            "differs  shop/a.js\n         content-type: text/plain instead of text/javascript\n3 objects were looked at, 1 have other headers\n"
        );
        let repaired = looked(Fate::Repaired);
        assert!(repaired.verdict().is_ok());
        assert_eq!(repaired.json("v1")["drifted"][0]["repaired"], json!(true));
        assert!(looked(Fate::OtherBytes).verdict().is_err());
    }
}
