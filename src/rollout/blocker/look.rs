//! Why a look at a release failed. Never says that anything is wrong with the release: nothing is known of it.

/// Why a look failed, by what can correct it; each with what was asked, what was answered and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookFailure {
    /// A right is missing.
    Denied(String),
    /// What is there cannot be read as it is.
    Invalid(String),
    /// Time may correct it.
    Failing(String),
    /// The controller itself went wrong.
    Panicked(String),
}

impl LookFailure {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Denied(_) => "ReadDenied",
            Self::Invalid(_) => "ReadInvalid",
            Self::Failing(_) => "ReadFailing",
            Self::Panicked(_) => "PassPanicked",
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::Denied(message) | Self::Invalid(message) | Self::Failing(message) | Self::Panicked(message) => message,
        }
    }
}
