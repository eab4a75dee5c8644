//! Why a release that takes another one's place (`spec.adoptFrom`) waits.
//! Never a failure: nothing was taken, and nothing of the other release was touched.

use std::fmt;

use crate::api::names;
use crate::rollout::observed::FieldManager;

/// What holds up an adoption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptionHold {
    /// The other release is there.
    There {
        /// Its name.
        release: String,
    },
    /// It is being deleted.
    Ending {
        /// Its name.
        release: String,
    },
    /// It is gone, and another program keeps the label that makes the pointer its.
    LabelKept {
        /// Name of the `ConfigMap`.
        config_map: String,
        /// The release that is gone.
        release: String,
        /// The release that waits.
        heir: String,
        /// Who keeps the label.
        by: FieldManager,
    },
}

impl AdoptionHold {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::There { .. } | Self::Ending { .. } => "PredecessorExists",
            Self::LabelKept { .. } => "PointerLabelKept",
        }
    }

    /// A GitOps tool deletes what was renamed after it has applied the rest, and may look at the health of the rest before.
    pub(super) fn stalls(&self) -> bool {
        match self {
            Self::There { .. } | Self::Ending { .. } => false,
            Self::LabelKept { .. } => true,
        }
    }

    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::There { .. } | Self::Ending { .. } => {
                "Two releases never write one pointer or one prefix, so the old one goes first: a GitOps tool prunes it after it has applied the new one; by hand, `kubectl delete assetrelease NAME`. Pods, pointer, pages and objects stay as they are. If `spec.adoptFrom` names the wrong release, correct it. The procedure is in [operations](../operations.md#rename-a-release)."
            }
            Self::LabelKept { .. } => {
                "The ConfigMap is in a repository, or was labelled by hand, and Rollcall never takes a field away from another manager. Change the label there; the release goes on by itself."
            }
        }
    }
}

impl fmt::Display for AdoptionHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::There { release } => write!(
                f,
                "AssetRelease {release:?}, whose place this release takes (spec.adoptFrom), still exists: delete it; its pointer, objects and pages stay"
            ),
            Self::Ending { release } => write!(
                f,
                "AssetRelease {release:?}, whose place this release takes (spec.adoptFrom), is being deleted: this release waits until it is gone"
            ),
            Self::LabelKept { config_map, release, heir, by } => write!(
                f,
                "ConfigMap {config_map:?} is labelled as the pointer of AssetRelease {release:?}, which is gone, by {by}, so Rollcall does not change it: set its label {label} there, or by `kubectl label --overwrite configmap {config_map} {label}={heir}`",
                label = names::LABEL_RELEASE
            ),
        }
    }
}
