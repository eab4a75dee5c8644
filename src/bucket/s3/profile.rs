//! How a vendor's S3 layer differs: its own word for "do not overwrite", and whether it knows checksum headers.
//! Never a promise: what a store does with these words the probe finds out. The vendors' entries follow their documentation and were
//! not tried on the real services.

/// What is sent to one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    /// Header and value that forbid a create to overwrite.
    pub(super) create_only: (&'static str, &'static str),
    /// Whether `x-amz-checksum-sha256` is sent. The hash of the payload is signed and so verified in any case.
    pub(super) checksum: Checksum,
}

/// Which checksum header goes with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    /// `x-amz-checksum-sha256`.
    Sha256,
    /// None: the signed hash of the payload alone.
    Payload,
}

/// S3 itself, and whoever does as S3 does.
const S3: Profile = Profile { create_only: ("if-none-match", "*"), checksum: Checksum::Sha256 };

/// Alibaba Cloud OSS: answers 409 `FileAlreadyExists`; ignored in a bucket with versions.
const OSS: Profile = Profile { create_only: ("x-oss-forbid-overwrite", "true"), checksum: Checksum::Payload };

/// Tencent Cloud COS: answers 409; for buckets without versions.
const COS: Profile = Profile { create_only: ("x-cos-forbid-overwrite", "true"), checksum: Checksum::Payload };

impl Profile {
    /// By the host of the endpoint; AWS when there is none.
    pub(super) fn of(endpoint: Option<&str>) -> Self {
        let host = endpoint.and_then(|endpoint| url::Url::parse(endpoint).ok()).and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_default();
        let ends = |domains: &[&str]| domains.iter().any(|domain| host.ends_with(domain));
        if ends(&[".aliyuncs.com"]) && host.contains("oss-") {
            OSS
        } else if ends(&[".myqcloud.com", ".tencentcos.cn"]) {
            COS
        } else {
            S3
        }
    }

    /// Whether this answer to a create says that something is there already.
    pub(super) fn says_taken(self, status: u16, code: Option<&str>) -> bool {
        // The vendors answer 409, which S3 itself says when nothing is decided.
        status == 412 || (self != S3 && status == 409 && !matches!(code, Some("ConditionalRequestConflict" | "OperationAborted")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_is_known_by_its_host() {
        for oss in ["https://oss-cn-hangzhou.aliyuncs.com", "https://s3.oss-cn-beijing-internal.aliyuncs.com"] {
            assert_eq!(Profile::of(Some(oss)), OSS, "{oss}");
        }
        for cos in ["https://cos.ap-guangzhou.myqcloud.com", "https://cos.ap-beijing.tencentcos.cn"] {
            assert_eq!(Profile::of(Some(cos)), COS, "{cos}");
        }
        for s3 in [None, Some("http://127.0.0.1:9000"), Some("https://aliyuncs.com.example.com"), Some("https://fc.aliyuncs.com")] {
            assert_eq!(Profile::of(s3), S3, "{s3:?}");
        }
    }

    #[test]
    fn a_vendors_conflict_says_taken_and_that_of_s3_says_nothing() {
        assert!(OSS.says_taken(409, Some("FileAlreadyExists")) && COS.says_taken(409, None) && S3.says_taken(412, None));
        assert!(!S3.says_taken(409, Some("FileAlreadyExists")) && !OSS.says_taken(409, Some("OperationAborted")));
    }
}
