//! What is said of a store that cannot be used: what is wrong, and what to do. Never a secret's content.

use crate::rollout::observed::StoreProblem;

impl StoreProblem {
    /// Stable CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SecretMissing(_) => "CredentialsMissing",
            Self::SecretForbidden(_) => "CredentialsForbidden",
            Self::SecretIncomplete(..) => "CredentialsIncomplete",
            Self::Invalid(_) => "StoreInvalid",
            Self::NotGranted(_) => "AmbientCredentialsNotGranted",
            Self::Overwrites(_) => "StoreOverwrites",
            Self::ListsUnreliably(_) => "StoreListsUnreliably",
        }
    }

    /// What is wrong with what `of` names, an AssetStore or a field, and what to do.
    #[must_use]
    pub fn message(&self, of: &str, namespace: &str) -> String {
        match self {
            Self::SecretMissing(secret) => {
                format!("Secret {secret:?}, named by {of}, does not exist: create it with accessKeyId and secretAccessKey")
            }
            Self::SecretForbidden(secret) => format!(
                "the controller may not read Secret {secret:?}, named by {of}: add `{{namespace: {namespace}, name: {secret}}}` to the chart's \
                 value `secrets`, or make the Role with \
                 `kubectl -n {namespace} create role rollcall-{secret} --verb=get --resource=secrets --resource-name={secret}` \
                 and bind it to the controller's ServiceAccount by a RoleBinding"
            ),
            Self::SecretIncomplete(secret, key) => format!("Secret {secret:?}, named by {of}, lacks the key {key:?}"),
            Self::NotGranted(value) => format!(
                "{of} names no credentials, and the controller's own are not granted to it: name a Secret, or ask the operator for the \
                 chart's value `ambientCredentials: [{value}]`"
            ),
            Self::Invalid(cause) => format!("{of} cannot be used: {cause}"),
            Self::Overwrites(objection) | Self::ListsUnreliably(objection) => format!("{of} is refused: {objection}"),
        }
    }
}
