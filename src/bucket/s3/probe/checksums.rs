//! Bytes that are not what was promised, as a broken line or disk would bring them: by signature and checksum, and by the checksum alone.
//! Never takes the refusal of something for a check of it: what is right must have been accepted in the same way.

use super::super::S3Bucket;
use super::super::profile::Checksum;
use super::super::put::{Asked, Put};
use super::super::streamed::Signed;
use super::{said, written};
use crate::bucket::probe::Finding;
use crate::bucket::{BucketError, Expected};

impl S3Bucket {
    /// With the hash in signature and header, and in the header alone.
    pub(super) async fn deceive_both_ways(&self, place: &str) -> Result<(Finding, Finding), BucketError> {
        let [deceived, by_header, right] = ["deceived", "deceived-header", "header"].map(|name| format!("{place}{name}"));
        let deceive_by_header = async {
            if self.profile.checksum != Checksum::Sha256 {
                return Ok(Finding::unknown("no checksum header is sent to this vendor"));
            }
            match self.promise(&right, "what arrives", Signed::Checksum).await {
                Ok(Put::Done) => self.deceive(&by_header, Signed::Checksum).await,
                Ok(Put::Taken | Put::Undecided) => Ok(Finding::unknown("a create of a free key was turned away")),
                // A moment's failure says nothing of the store, and what is found counts for days.
                Err(error @ BucketError::Unavailable { .. }) => Err(error),
                Err(error) => Ok(Finding::unknown(format!("bytes that only the checksum header vouches for were not accepted: {error}"))),
            }
        };
        tokio::try_join!(self.deceive(&deceived, Signed::Bytes), deceive_by_header)
    }

    /// Promises the hash of other bytes.
    async fn deceive(&self, key: &str, signed: Signed) -> Result<Finding, BucketError> {
        let ended = self.promise(key, "what was promised", signed).await;
        let kept = self.look(self.call("probe", key)).await?.is_some();
        Ok(match (ended, kept) {
            (Ok(_), true) => Finding::ignored("bytes with another hash than the promised one were accepted"),
            (Err(_), true) => Finding::ignored("bytes with another hash than the promised one were refused, and kept all the same"),
            (Err(BucketError::Refused { cause, .. }), false) => Finding::holds(format!("a wrong hash was refused: {cause}")),
            (Err(other), false) => Finding::unknown(format!("a wrong hash was not answered plainly: {other}")),
            (Ok(_), false) => Finding::unknown("bytes with a wrong hash were accepted, and then not there"),
        })
    }

    /// Sends "what arrives" with the hash of `promised`.
    async fn promise(&self, key: &str, promised: &str, signed: Signed) -> Result<Put, BucketError> {
        let (bytes, (_, attributes)) = (said("what arrives"), written(promised));
        let size = bytes.len() as u64;
        let asked = Asked { call: self.call("probe", key), attributes: &attributes, expected: &Expected::Absent };
        self.put_stream(asked, bytes.into(), size, signed).await
    }
}
