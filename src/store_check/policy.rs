//! The rights that are needed in a bucket, as AWS writes them. Never more than something here uses.

use serde_json::{Value, json};

use crate::manifest::Layout;

/// For who writes. Listing is allowed for the whole bucket: without it, or with a condition on the prefix, S3 says 403 for a missing
/// object, which cannot be told from a missing right.
pub(super) fn writer(bucket: &str, prefix: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "RollcallObjects",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                "Resource": format!("arn:aws:s3:::{bucket}/{prefix}*"),
            },
            {
                "Sid": "RollcallListing",
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
                "Resource": format!("arn:aws:s3:::{bucket}"),
            },
            claims(bucket, prefix),
        ],
    })
}

/// Who claims a prefix reads whether somebody has claimed one around it. Of the bucket's root, nothing is around.
fn claims(bucket: &str, prefix: &str) -> Value {
    let layout = Layout::new(prefix, "");
    let around = layout.ancestors().into_iter().chain(prefix.is_empty().then_some(layout));
    let owners: Vec<String> = around.map(|around| format!("arn:aws:s3:::{bucket}/{}", around.owner())).collect();
    json!({"Sid": "RollcallClaims", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": owners})
}

/// For a cluster that only reads: `source: {published: {}}`, pages from pods, another one publishes. It writes what it uses, takes what it
/// needs out of tombstones, tries the store out, claims a prefix that nobody has, and takes the lock where the write guard is `SingleWriter`. A sweep of its own it cannot do.
pub(super) fn follower(bucket: &str, prefix: &str) -> Value {
    let below = |folder: &str| format!("arn:aws:s3:::{bucket}/{prefix}*.rollcall/{folder}");
    // Without a folder in front `*` is nothing: IAM's takes any number of characters, `/` too.
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "RollcallReads",
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": format!("arn:aws:s3:::{bucket}/{prefix}*"),
            },
            {
                "Sid": "RollcallListing",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": format!("arn:aws:s3:::{bucket}"),
            },
            {
                "Sid": "RollcallNotes",
                "Effect": "Allow",
                "Action": ["s3:PutObject"],
                "Resource": [below("references/*"), below("sweeps/*"), below("probe/*"), below("owner.json"), below("lock.json")],
            },
            {
                "Sid": "RollcallTidying",
                "Effect": "Allow",
                "Action": ["s3:DeleteObject", "s3:AbortMultipartUpload"],
                "Resource": [below("sweeps/*"), below("probe/*"), below("owner.json")],
            },
            claims(bucket, prefix),
        ],
    })
}

/// For CloudFront with origin access control; other readers need the same two rights.
pub(super) fn reader(bucket: &str, prefix: &str) -> Value {
    let statement = |sid: &str, action: &str, resource: String| {
        json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": action,
            "Resource": resource,
            "Condition": {"StringEquals": {"AWS:SourceArn": "arn:aws:cloudfront::ACCOUNT:distribution/DISTRIBUTION"}},
        })
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [
            statement("PagesRead", "s3:GetObject", format!("arn:aws:s3:::{bucket}/{prefix}*")),
            statement("MissingIs404", "s3:ListBucket", format!("arn:aws:s3:::{bucket}")),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_for_the_prefix_and_listing_is_for_the_bucket() {
        let resources = |policy: &Value| [0, 1].map(|n| policy["Statement"][n]["Resource"].as_str().unwrap().to_owned());
        for policy in [writer("web", "shop/"), reader("web", "shop/"), follower("web", "shop/")] {
            assert_eq!(resources(&policy), ["arn:aws:s3:::web/shop/*", "arn:aws:s3:::web"]);
        }
        for (policy, at) in [(writer("web", "shop/eu/"), 2), (follower("web", "shop/eu/"), 4)] {
            let owners = ["arn:aws:s3:::web/.rollcall/owner.json", "arn:aws:s3:::web/shop/.rollcall/owner.json"];
            assert_eq!(policy["Statement"][at]["Resource"], json!(owners), "whose the prefixes around are");
        }
    }

    #[test]
    fn a_cluster_that_only_reads_may_write_no_object_of_a_build() {
        let policy = follower("web", "");
        assert!(policy.to_string().contains("arn:aws:s3:::web/*.rollcall/references/*"), "{policy}");
        assert!(policy.to_string().contains("arn:aws:s3:::web/*.rollcall/lock.json"), "the lock of the one writer: {policy}");
        assert!(policy.to_string().contains(r#""arn:aws:s3:::web/.rollcall/owner.json""#), "the claim around: {policy}");
        for statement in policy["Statement"].as_array().unwrap().iter().skip(2).take(2) {
            for resource in statement["Resource"].as_array().unwrap() {
                assert!(resource.as_str().unwrap().contains("*.rollcall/"), "{resource}");
            }
        }
    }
}
