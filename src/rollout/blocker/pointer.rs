//! What is said of a pointer that Rollcall does not write: which field, who has it, and what to do, in this order.
//! Never says that a program wrote what managedFields do not list as its own.

use super::{Blocker, some_of};
use crate::api::names;
use crate::rollout::observed::{Contest, FieldManager, ForeignLabels, Operation, OtherPointer};

impl Blocker {
    /// The messages of blockers that are about the pointer.
    pub(super) fn pointer_message(&self) -> String {
        match self {
            Self::PointerContested { config_map, contest } => contested(config_map, contest),
            Self::PointerForeign { config_map, release, labels } => foreign(config_map, release, labels),
            Self::PointerTaken { config_map, release, labelled_by } => format!(
                "ConfigMap {config_map:?} is the pointer of AssetRelease {release:?}{}: create a release with another spec.pointer.configMapName; or, if that release was renamed to this one, delete it and set spec.adoptFrom to its name",
                labelled_by.as_ref().map(|by| format!(", because {by} set its label {}", names::LABEL_RELEASE)).unwrap_or_default()
            ),
            Self::PointerUnreadable { config_map, cause, written_by } => format!(
                "{} in ConfigMap {config_map:?}{} cannot be read ({cause}): remove the key or the ConfigMap; Rollcall recreates it from this release's status",
                names::POINTER_KEY,
                written_by.as_ref().map(|by| format!(", which {by} set,")).unwrap_or_default()
            ),
            Self::PointerVanished { config_map, pods, reported, known } => format!(
                "ConfigMap {config_map:?} is gone or old: pods report up to flip {reported}, status and ConfigMap know flip {known} only: restore the ConfigMap from a newer backup with `kubectl apply --server-side --field-manager={}`; if there was no such flip, or the pods may go back, delete the pods that report it: {}",
                names::FIELD_MANAGER,
                some_of(pods)
            ),
            Self::EpochAhead { config_map, pointer, ours } => format!(
                "ConfigMap {config_map:?} was written under epoch {pointer}, and this controller leads under epoch {ours}: another controller manages this namespace, or the number was written by hand; if no other controller runs, delete the ConfigMap; the controller recreates it from this release's status"
            ),
            Self::PodsFollowAnother { config_map, other, pods } => follow_another(config_map, other, pods),
            _ => String::new(),
        }
    }
}

fn follow_another(config_map: &str, other: &OtherPointer, pods: &[String]) -> String {
    let whose = match &other.release {
        Some(release) => format!("the pointer {:?} of AssetRelease {release:?}", other.config_map),
        None => format!("the pointer {:?}, which is no release's,", other.config_map),
    };
    format!(
        "{} pods of spec.targets follow {whose} and not {config_map:?}, the pointer of this release: take their workload out of spec.targets, or run their agents with --pointer={config_map}: {}",
        pods.len(),
        some_of(pods)
    )
}

fn contested(config_map: &str, contest: &Contest) -> String {
    let fields = contest.fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let recreate = "delete the ConfigMap; Rollcall recreates it from this release's status";
    let Some(manager) = &contest.manager else {
        return format!(
            "{fields} in ConfigMap {config_map:?} is not Rollcall's to write, and metadata.managedFields name no owner of it: {recreate}"
        );
    };
    let others = match contest.others {
        0 => String::new(),
        1 => " (1 more field manager has such fields)".into(),
        more => format!(" ({more} more field managers have such fields)"),
    };
    format!(
        "{fields} in ConfigMap {config_map:?} was set by {manager}{others}, so Rollcall does not write it: {}, then {recreate}",
        remedy(manager)
    )
}

/// Where a manager of this name has the field from, as the tools name themselves.
fn remedy(manager: &FieldManager) -> &'static str {
    match (&*manager.name, manager.operation) {
        (names::FIELD_MANAGER, _) => "stop the program that writes under Rollcall's name (a restored backup does so once)",
        (name, _) if name.starts_with("argocd") => "remove it from the manifest that Argo CD applies",
        ("kustomize-controller" | "helm-controller", _) => "remove it from the manifest that Flux applies",
        (name, _) if name.starts_with("flux") => "remove it from the manifest that Flux applies",
        ("helm", _) => "remove it from the chart that Helm installs",
        ("kubectl-client-side-apply", _) => "remove it from the manifest that kubectl applies",
        (name, Operation::Apply) if name.starts_with("kubectl") => "remove it from the manifest that kubectl applies",
        (name, Operation::Update) if name.starts_with("kubectl") => "do not change it with kubectl",
        _ => "stop that program from setting it",
    }
}

fn foreign(config_map: &str, release: &str, labels: &ForeignLabels) -> String {
    let is_pointer = labels.pointer.as_deref() == Some("true");
    let (name, value) = if is_pointer { (names::LABEL_RELEASE, &labels.release) } else { (names::LABEL_POINTER, &labels.pointer) };
    let set_by = labels.set_by.as_ref().map(|by| format!(", set by {by}")).unwrap_or_default();
    let why = match value {
        Some(value) => format!("its label {name} is {value:?}{set_by}"),
        None => format!("it has no label {name}"),
    };
    format!(
        "ConfigMap {config_map:?} is there and is not labelled as a pointer ({why}), so nothing is written to it: create a release with another spec.pointer.configMapName; or, if nothing else uses that ConfigMap, give it to this release: kubectl label --overwrite configmap {config_map} {}=true {}={release}",
        names::LABEL_POINTER,
        names::LABEL_RELEASE
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::observed::PointerField;

    fn manager(name: &str, operation: Operation) -> FieldManager {
        FieldManager { name: name.into(), operation, subresource: None }
    }

    fn message(contest: Contest) -> String {
        Blocker::PointerContested { config_map: "shop-assets".into(), contest }.message()
    }

    /// I9: the message names the field that is really owned, who owns it, and where that program has it from.
    #[test]
    fn a_contest_names_the_field_its_manager_and_what_to_do_there() {
        let cases = [
            ("argocd-controller", Operation::Apply, "the manifest that Argo CD applies"),
            ("argocd-controller", Operation::Update, "the manifest that Argo CD applies"),
            ("kustomize-controller", Operation::Apply, "the manifest that Flux applies"),
            ("helm", Operation::Update, "the chart that Helm installs"),
            ("kubectl", Operation::Apply, "the manifest that kubectl applies"),
            ("kubectl-client-side-apply", Operation::Update, "the manifest that kubectl applies"),
            ("kubectl-edit", Operation::Update, "do not change it with kubectl"),
            ("rollcall", Operation::Update, "under Rollcall's name"),
            ("velero-server", Operation::Update, "stop that program"),
        ];
        for (name, operation, wanted) in cases {
            let contest = Contest { manager: Some(manager(name, operation)), fields: vec![PointerField::NameMap], others: 0 };
            let text = message(contest);
            assert!(text.starts_with("data[\"manifest.json\"] in ConfigMap \"shop-assets\" was set by the field manager"), "{text}");
            assert!(text.contains(&format!("{name:?} (operation {operation:?})")) && text.contains(wanted), "{text}");
            assert!(!text.contains("pointer.json"), "{text}");
        }
    }

    #[test]
    fn a_contest_of_several_managers_or_of_nobody_says_so() {
        let fields = || vec![PointerField::Document, PointerField::Immutable];
        let many = message(Contest { manager: Some(manager("a", Operation::Apply)), fields: fields(), others: 2 });
        assert!(many.contains("data[\"pointer.json\"] and immutable") && many.contains("2 more field managers"), "{many}");
        let nobody = message(Contest { manager: None, fields: fields(), others: 0 });
        assert!(nobody.contains("managedFields name no owner") && !nobody.contains("was set by"), "{nobody}");
    }

    #[test]
    fn a_label_that_is_wrong_is_named_with_its_value_and_who_set_it() {
        let of = |labels| Blocker::PointerForeign { config_map: "c".into(), release: "shop".into(), labels: Box::new(labels) }.message();
        let set_by = Some(manager("kubectl-label", Operation::Update));
        let relabelled = of(ForeignLabels { pointer: Some("false".into()), release: Some("shop".into()), set_by });
        assert!(
            relabelled.contains("its label rollcall.dev/pointer is \"false\", set by the field manager \"kubectl-label\""),
            "{relabelled}"
        );
        let bare = of(ForeignLabels { pointer: Some("true".into()), ..ForeignLabels::default() });
        assert!(bare.contains("it has no label rollcall.dev/release)"), "{bare}");
        let labelled_by = Some(manager("kubectl-label", Operation::Update));
        let taken = Blocker::PointerTaken { config_map: "c".into(), release: "other".into(), labelled_by }.message();
        assert!(taken.contains("\"kubectl-label\" (operation Update) set its label rollcall.dev/release"), "{taken}");
    }
}
