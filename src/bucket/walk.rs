//! A listing from its first page to its last. Never one without an end: each page goes on behind the one before, and lines are counted.

use super::{Bucket, BucketError, Listed};

/// Most lines of one walk: 200,000 files of 50 versions that share none of them. Pages are looked at one after the other, so this bounds
/// time and requests; what is held of them is bounded where it is held.
const LINES_MAX: u64 = 10_000_000;

/// A walk over the keys below a prefix, page by page.
pub struct Walk<'a> {
    bucket: &'a dyn Bucket,
    prefix: &'a str,
    at: At,
    lines_left: u64,
}

enum At {
    After(Option<String>),
    End,
}

impl<'a> Walk<'a> {
    /// Begins with the first key.
    #[must_use]
    pub fn new(bucket: &'a dyn Bucket, prefix: &'a str) -> Self {
        Self { bucket, prefix, at: At::After(None), lines_left: LINES_MAX }
    }

    /// The same with another bound, for what is held as a whole.
    #[must_use]
    pub fn of_at_most(self, lines: u64) -> Self {
        Self { lines_left: lines, ..self }
    }

    /// The next page; `None` behind the last one.
    ///
    /// # Errors
    /// What the bucket says, and [`BucketError::Refused`] for a listing that does not go on or does not end.
    pub async fn page(&mut self) -> Result<Option<Vec<Listed>>, BucketError> {
        let At::After(after) = std::mem::replace(&mut self.at, At::End) else { return Ok(None) };
        let page = self.bucket.list(self.prefix, after.as_deref()).await?;
        self.lines_left = self.lines_left.checked_sub(page.objects.len() as u64).ok_or_else(|| self.endless("has too many lines"))?;
        if let Some(next) = page.next {
            if after.is_some_and(|after| after >= next) {
                return Err(self.endless("does not go on in byte order of the keys"));
            }
            self.at = At::After(Some(next));
        }
        Ok(Some(page.objects))
    }

    fn endless(&self, what: &str) -> BucketError {
        BucketError::Refused { operation: "list", key: self.prefix.to_owned(), cause: format!("the store's listing {what}") }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::super::{Attributes, Body, Created, Expected, Page, Pieces, Stored, Swapped};
    use super::*;

    /// A bucket whose listing has one more page each time; the keys stand still or go on.
    struct Endless {
        goes_on: bool,
    }

    #[async_trait]
    impl Bucket for Endless {
        async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
            let number: u64 = after.and_then(|after| after.strip_prefix(prefix)?.parse().ok()).unwrap_or_default();
            let number = if self.goes_on { number + 1 } else { 1 };
            let key = format!("{prefix}{number:09}");
            let line = Listed { key: key.clone(), size: 1, etag: "1".into(), last_modified: Timestamp::UNIX_EPOCH };
            Ok(Page { objects: vec![line; 1000], next: Some(key) })
        }

        async fn create(&self, _: &str, _: Body, _: &Attributes) -> Result<Created, BucketError> {
            unreachable!("a walk only lists")
        }

        async fn replace(&self, _: &str, _: Body, _: &Attributes, _: &Expected) -> Result<Swapped, BucketError> {
            unreachable!("a walk only lists")
        }

        async fn get(&self, _: &str, _: u64) -> Result<Option<Bytes>, BucketError> {
            unreachable!("a walk only lists")
        }

        async fn read(&self, _: &str, _: &str) -> Result<Option<Pieces>, BucketError> {
            unreachable!("a walk only lists")
        }

        async fn head(&self, _: &str) -> Result<Option<Stored>, BucketError> {
            unreachable!("a walk only lists")
        }

        async fn give_up_uploads(&self, _: &str, _: Timestamp) -> Result<u64, BucketError> {
            unreachable!("a walk only lists")
        }

        async fn delete(&self, _: &str, _: &str) -> Result<Swapped, BucketError> {
            unreachable!("a walk only lists")
        }
    }

    async fn pages(goes_on: bool) -> (u64, BucketError) {
        let bucket = Endless { goes_on };
        let (mut walk, mut pages) = (Walk::new(&bucket, "a/").of_at_most(100_000), 0);
        loop {
            match walk.page().await {
                Ok(Some(_)) => pages += 1,
                Ok(None) => unreachable!("it never says that it ends"),
                Err(error) => return (pages, error),
            }
        }
    }

    #[tokio::test]
    async fn a_listing_without_an_end_ends() {
        let (listed, error) = pages(true).await;
        assert_eq!((listed, error.to_string().as_str()), (100, "list \"a/\" was refused: the store's listing has too many lines"));
        let (listed, error) = pages(false).await;
        assert_eq!(listed, 1, "{error}");
        assert!(error.to_string().contains("does not go on"), "{error}");
    }
}
