//! What the store answered -> what the caller must know. The one place that reads status codes and S3's error codes.
//! Never lets a secret into a cause: only codes, the store's own message, and the words of network errors, cut. Never tells a tenant
//! more than the status and S3's code: what refused, reset or kept silent is for the log, and so is what an answer says.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::api::foreign::shown;
use crate::bucket::BucketError;
use crate::egress::{NotAllowed, Told, chain, links};

/// Longest cause, in characters: it ends in a condition's message.
const CAUSE_CHARS_MAX: usize = 300;

/// S3's codes for "who asks is not who they say", which some stores send with status 400.
/// The last one is versitygw's, which says 404 to an access key that it does not know.
const DENIED_CODES: [&str; 8] = [
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XAdminUserNotFound",
];

/// S3's codes for "come again", whatever their status.
const PASSING_CODES: [&str; 5] = ["OperationAborted", "RequestTimeout", "RequestTimeTooSkewed", "SlowDown", "Throttling"];

/// Instead of the SDK's own words, which are a list of everything that is not set.
const NO_CREDENTIALS: &str =
    "no credentials: none were given, and the process has neither keys in its environment nor a web identity (IRSA) nor EKS Pod Identity";

/// What was tried on what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub operation: &'static str,
    pub bucket: &'a str,
    pub key: &'a str,
    pub told: Told,
}

/// Instead of what a port scan would give.
pub const UNANSWERED: &str = "the endpoint did not answer as an object store; the controller's log says more";

/// Instead of what the provider of credentials said, which names roles and accounts.
const NO_IDENTITY: &str = "the controller's own credentials could not be had; its log says why";

/// An error answer, without the SDK's types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub status: u16,
    pub code: Option<&'a str>,
    pub message: Option<&'a str>,
}

/// The store's error answer, when there was one.
pub(super) fn answer<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Answer<'_>> {
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            Some(Answer { status, code: service.err().code(), message: service.err().message() })
        }
        _ => None,
    }
}

impl Call<'_> {
    /// Any failure that the caller did not expect.
    pub fn failed<E>(self, error: &SdkError<E, HttpResponse>) -> BucketError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match answer(error) {
            // A page of somebody else, where a listing would be: the first thing that a store is asked for.
            Some(Answer { status: 200..300, code: None, .. }) if self.operation == "list" => return self.unanswered(&causes(error)),
            Some(answer) => return self.answered(answer),
            None => {}
        }
        if let Some(refused) = links(error).find_map(|link| link.downcast_ref::<NotAllowed>()) {
            return BucketError::NotAllowed { cause: refused.to_string() };
        }
        match (credentials_error(error), error) {
            (Some(CredentialsError::CredentialsNotLoaded(_)), _) => self.denied(NO_CREDENTIALS),
            (Some(CredentialsError::InvalidConfiguration(_)), _) => self.denied(self.for_the_log(&causes(error), NO_IDENTITY)),
            (Some(_), _) => self.unavailable(self.for_the_log(&causes(error), NO_IDENTITY)),
            (None, SdkError::ConstructionFailure(_)) => self.refused(causes(error)),
            (None, _) => self.unanswered(&causes(error)),
        }
    }

    /// Nothing, or nothing that is S3's: the precise cause for people at a terminal, one text for whoever may only choose the endpoint.
    pub fn unanswered(self, cause: &str) -> BucketError {
        self.unavailable(self.for_the_log(cause, UNANSWERED))
    }

    fn for_the_log(self, cause: &str, instead: &str) -> String {
        match self.told {
            Told::Operator => cause.to_owned(),
            Told::Tenant => {
                tracing::warn!(operation = self.operation, bucket = self.bucket, key = self.key, cause = cut(cause), "a store failed");
                instead.to_owned()
            }
        }
    }

    /// The meaning of an error answer.
    pub fn answered(self, answer: Answer<'_>) -> BucketError {
        let code = answer.code.unwrap_or_default();
        let cause = answer.describe(self);
        match answer.status {
            _ if code == "NoSuchBucket" => BucketError::NoSuchBucket { bucket: self.bucket.to_owned() },
            _ if PASSING_CODES.contains(&code) => self.unavailable(cause),
            _ if DENIED_CODES.contains(&code) => self.denied(cause),
            401 | 403 => self.denied(cause),
            501 => self.refused(cause),
            // 409 is a race that nobody has decided yet; 412 is never left to this function.
            408 | 409 | 425 | 429 | 500.. => self.unavailable(cause),
            300..=399 => self.refused(format!("{cause}; is the region right?")),
            _ => self.refused(cause),
        }
    }

    pub fn unavailable(self, cause: impl Into<String>) -> BucketError {
        BucketError::Unavailable { operation: self.operation, key: self.key.to_owned(), cause: cut(&cause.into()) }
    }

    pub fn denied(self, cause: impl Into<String>) -> BucketError {
        BucketError::Denied { operation: self.operation, key: self.key.to_owned(), cause: cut(&cause.into()) }
    }

    pub fn refused(self, cause: impl Into<String>) -> BucketError {
        BucketError::Refused { operation: self.operation, key: self.key.to_owned(), cause: cut(&cause.into()) }
    }
}

impl Answer<'_> {
    /// The store says that there is no such object.
    pub fn is_missing(&self) -> bool {
        self.status == 404 && self.code == Some("NoSuchKey")
    }

    /// All that a HEAD can say, having no body: the object is missing, or the bucket, or nobody is at home.
    pub fn is_silent_404(&self) -> bool {
        self.status == 404 && matches!(self.code, None | Some("NoSuchKey" | "NotFound"))
    }

    fn describe(&self, call: Call<'_>) -> String {
        let message = match call.told {
            Told::Operator => self.message,
            Told::Tenant => {
                let (status, code) = (self.status, self.code);
                tracing::warn!(call.operation, call.bucket, call.key, status, code, message = self.message.map(cut), "a store refused");
                None
            }
        };
        let code = self.code.filter(|code| call.told == Told::Operator || is_a_word(code));
        let mut text = self.status.to_string();
        for part in [code, message].into_iter().flatten().filter(|part| !part.is_empty()) {
            text.push_str(if text.len() == 3 { " " } else { ": " });
            text.push_str(part);
        }
        text
    }
}

/// What S3's codes look like: anything else is somebody's text.
pub(super) fn is_a_word(code: &str) -> bool {
    code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

/// The words of what caused an error. The SDK's own outermost words only say in which phase it was.
fn causes(error: &(dyn Error + 'static)) -> String {
    chain(error.source().unwrap_or(error))
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    links(error).find_map(|link| link.downcast_ref())
}

/// One line of bounded length: the store chooses the message, and it ends in a condition.
fn cut(text: &str) -> String {
    shown(text, CAUSE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call { operation: "create", bucket: "web", key: "a.js", told: Told::Operator };

    fn kind(status: u16, code: &str) -> &'static str {
        let code = Some(code).filter(|code| !code.is_empty());
        match CALL.answered(Answer { status, code, message: None }) {
            BucketError::Unavailable { .. } => "unavailable",
            BucketError::Denied { .. } => "denied",
            BucketError::NoSuchBucket { .. } => "no bucket",
            BucketError::Refused { .. } | BucketError::Locked { .. } | BucketError::Unfit(_) | BucketError::NotAllowed { .. } => "refused",
        }
    }

    #[test]
    fn every_answer_has_one_meaning() {
        let table = [
            (404, "NoSuchBucket", "no bucket"),
            (403, "AccessDenied", "denied"),
            (404, "XAdminUserNotFound", "denied"),
            (403, "", "denied"),
            (401, "", "denied"),
            (400, "ExpiredToken", "denied"),
            (403, "SignatureDoesNotMatch", "denied"),
            (403, "RequestTimeTooSkewed", "unavailable"),
            (503, "SlowDown", "unavailable"),
            (500, "InternalError", "unavailable"),
            (429, "", "unavailable"),
            (400, "RequestTimeout", "unavailable"),
            (409, "ConditionalRequestConflict", "unavailable"),
            (400, "BadDigest", "refused"),
            (400, "XAmzContentSHA256Mismatch", "refused"),
            (400, "EntityTooLarge", "refused"),
            (501, "NotImplemented", "refused"),
            (301, "PermanentRedirect", "refused"),
            (405, "MethodNotAllowed", "refused"),
        ];
        for (status, code, expected) in table {
            assert_eq!(kind(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn only_the_stores_own_word_means_missing() {
        let answer = |status, code| Answer { status, code, message: None };
        assert!(answer(404, Some("NoSuchKey")).is_missing());
        // A proxy's 404 page, another store's way to refuse: not a word about the object.
        for other in [answer(404, None), answer(404, Some("NoSuchBucket")), answer(404, Some("XAdminUserNotFound")), answer(403, None)] {
            assert!(!other.is_missing(), "{other:?}");
        }
        assert!(answer(404, None).is_silent_404() && answer(404, Some("NotFound")).is_silent_404());
        assert!(!answer(403, None).is_silent_404() && !answer(404, Some("NoSuchBucket")).is_silent_404());
    }

    #[test]
    fn a_tenant_is_told_the_status_and_the_code_and_nothing_that_the_answer_says() {
        let call = Call { told: Told::Tenant, ..CALL };
        let said = |code, message| call.answered(Answer { status: 403, code, message }).to_string();
        assert_eq!(said(Some("AccessDenied"), Some("arn:aws:iam::1:role/x may not")), "create \"a.js\" was denied: 403 AccessDenied");
        assert_eq!(said(Some("secret text of a page"), None), "create \"a.js\" was denied: 403");
        let silent = ["connection refused", "connection reset by peer", "operation timed out", "invalid HTTP version"];
        let told: std::collections::BTreeSet<String> = silent.iter().map(|cause| call.unanswered(cause).to_string()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn a_cause_is_one_bounded_line() {
        let long = "x\n".repeat(1000);
        let error = CALL.answered(Answer { status: 400, code: Some("BadDigest"), message: Some(&long) });
        let text = error.to_string();
        assert!(text.starts_with("create \"a.js\" was refused: 400 BadDigest: x\\nx"), "{text}");
        assert!(text.chars().count() < CAUSE_CHARS_MAX + 40 && !text.contains('\n'), "{text}");
    }
}
