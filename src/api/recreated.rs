//! How the API server says that an object of the same name has taken the place of the one that was meant.
//! Never by the status code alone: 422 is also what a request gets that can never work.

use kube::core::Status;

/// Whether a write was refused because the object has another UID than the one in its body. With a resource version in the body
/// the server answers 409 before it looks at the UID; without one it is a 422 whose cause names the field.
#[must_use]
pub fn is_of_another_object(answer: &Status) -> bool {
    let causes = answer.details.iter().flat_map(|details| &details.causes);
    answer.code == 422 && causes.into_iter().any(|cause| cause.field == "metadata.uid")
}
