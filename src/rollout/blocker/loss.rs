//! Why a step that was decided was not done. Never a failure: a lost race is looked at again.

/// Why a step was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LossCause {
    /// The precondition of the write did not hold any more.
    #[error("the object has changed each time between the look and the write; see who writes it with `kubectl get --show-managed-fields`")]
    Changed,
    /// The facts were too old when the step was to be done.
    #[error("to read pointer, pods and release takes longer than such facts may be used; the API server is very slow")]
    TooOld,
}
