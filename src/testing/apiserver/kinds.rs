//! The kinds that the in-process API server knows, and how their registries differ.
//! Never a kind that no test needs.

/// One resource of the API.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version in the group.
    pub version: &'static str,
    /// Plural name, as it stands in URLs.
    pub plural: &'static str,
    /// Name in `kind`.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is written through a subresource only.
    pub has_status: bool,
    /// Whether `metadata.generation` follows the spec.
    pub has_generation: bool,
    /// Whether it is defined by a CRD: no strategic merge, and the status subresource leaves metadata alone.
    pub custom: bool,
}

const fn core(plural: &'static str, kind: &'static str, namespaced: bool, has_status: bool) -> Kind {
    Kind { group: "", version: "v1", plural, kind, namespaced, has_status, has_generation: false, custom: false }
}

const fn apps(plural: &'static str, kind: &'static str) -> Kind {
    Kind { group: "apps", version: "v1", plural, kind, namespaced: true, has_status: true, has_generation: true, custom: false }
}

const fn plain(group: &'static str, plural: &'static str, kind: &'static str) -> Kind {
    Kind { group, version: "v1", plural, kind, namespaced: true, has_status: false, has_generation: false, custom: false }
}

const fn custom(plural: &'static str, kind: &'static str) -> Kind {
    let (group, version) = (crate::api::names::GROUP, "v1alpha1");
    Kind { group, version, plural, kind, namespaced: true, has_status: true, has_generation: true, custom: true }
}

/// All of them.
pub const KINDS: &[Kind] = &[
    core("configmaps", "ConfigMap", true, false),
    core("pods", "Pod", true, true),
    core("secrets", "Secret", true, false),
    core("services", "Service", true, true),
    core("nodes", "Node", false, true),
    core("namespaces", "Namespace", false, true),
    apps("deployments", "Deployment"),
    apps("statefulsets", "StatefulSet"),
    apps("daemonsets", "DaemonSet"),
    apps("replicasets", "ReplicaSet"),
    plain("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    plain("events.k8s.io", "events", "Event"),
    plain("coordination.k8s.io", "leases", "Lease"),
    custom("assetreleases", "AssetRelease"),
    custom("assetstores", "AssetStore"),
];

impl Kind {
    /// `v1` or `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `plural` or `plural.group`, as messages name it.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Kind` or `Kind.group`, as messages of validation name it.
    #[must_use]
    pub fn full_kind(&self) -> String {
        if self.group.is_empty() { self.kind.into() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The kind with this name.
    ///
    /// # Panics
    /// When it is not in [`KINDS`].
    #[must_use]
    pub fn named(kind: &str) -> &'static Self {
        KINDS.iter().find(|known| known.kind == kind).expect("tests ask for kinds of the table only")
    }

    /// The kind behind a URL.
    #[must_use]
    pub fn at(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        KINDS.iter().find(|known| (known.group, known.version, known.plural) == (group, version, plural))
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// API group.
    pub group: &'static str,
    /// Plural name.
    pub plural: &'static str,
    /// Namespace; empty for objects of the cluster.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The object of this kind with this name.
    #[must_use]
    pub fn new(kind: &'static Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.namespaced { namespace } else { "" };
        Self { group: kind.group, plural: kind.plural, namespace: namespace.into(), name: name.into() }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        KINDS.iter().find(|known| (known.group, known.plural) == (self.group, self.plural)).expect("keys are made from kinds")
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.plural, self.namespace, self.name)
    }
}
