//! Where a build lies, as far as its references tell: URLs and paths that stand in front of the build's own paths.
//! Never takes one that leads to no file of the build.

use serde::Serialize;
use url::Url;

use super::HERE;

/// How a base became known. The words are stable: `--output json` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// The store's public URL with the release's prefix, or `--public-url`.
    PublicUrl,
    /// What the build tool's manifest has in front of its files.
    Manifest,
    /// `<base href>` of a page.
    BaseElement,
    /// The prefix in the bucket.
    Prefix,
    /// What most of the build's own references begin with.
    References,
}

/// A base that references of the build led through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenBase {
    /// A path (`/shop/`) or a URL (`https://cdn.example.com/shop/`).
    pub base: String,
    /// How it became known.
    pub by: By,
    /// References that led to files of the build through it.
    pub references: u64,
}

impl TakenBase {
    /// In words: `references lead to the build by "/shop/" (the prefix in the bucket)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let by = match self.by {
            By::PublicUrl => "the public URL",
            By::Manifest => "the public path in the build tool's manifest",
            By::BaseElement => "<base href> of its pages",
            By::Prefix => "the prefix in the bucket",
            By::References => "what its references begin with",
        };
        format!("references lead to the build by {:?} ({by})", self.base)
    }
}

/// A base that may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) url: Url,
    pub(super) by: By,
}

impl Base {
    /// Of a URL, or of a path that begins with `/`; `None` for what is neither, and for the top itself.
    pub(super) fn new(text: &str, by: By) -> Option<Self> {
        let mut url = Url::parse(HERE).ok()?.join(text).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let folder = format!("{}/", url.path());
            url.set_path(&folder);
        }
        (!is_here(&url) || url.path() != "/").then_some(Self { url, by })
    }

    /// The part of a target below it.
    pub(super) fn below<'t>(&self, target: &'t Url) -> Option<&'t str> {
        let (base, same_port) = (&self.url, self.url.port_or_known_default() == target.port_or_known_default());
        // With `//host/…` a page is as well on https as on http.
        let same_host = base.host_str() == target.host_str() && (same_port || (base.port().is_none() && target.port().is_none()));
        if same_host { target.path().strip_prefix(base.path()) } else { None }
    }

    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// A path for what lies at the build's own host.
pub(super) fn shown(url: &Url) -> String {
    if is_here(url) { url.path().to_owned() } else { url.to_string() }
}

pub(super) fn is_here(url: &Url) -> bool {
    url.host_str() == Some("build.invalid")
}

/// Paths that a prefix in a bucket may stand at: `sites/shop/` at `/sites/shop/`, and at `/shop/` behind a CDN that adds the rest.
pub(super) fn of_prefix(prefix: &str) -> Vec<Base> {
    let starts = std::iter::once(0).chain(prefix.match_indices('/').map(|(at, _)| at + 1));
    starts.map(|at| &prefix[at..]).filter(|rest| !rest.is_empty()).filter_map(|rest| Base::new(&format!("/{rest}"), By::Prefix)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_stand_at_each_of_its_ends() {
        let paths: Vec<_> = of_prefix("sites/shop/").iter().map(Base::shown).collect();
        assert_eq!(paths, ["/sites/shop/", "/shop/"]);
        assert!(of_prefix("").is_empty());
    }

    #[test]
    fn a_base_is_a_path_or_a_url_that_ends_with_a_slash() {
        let shown = |text: &str| Base::new(text, By::PublicUrl).map(|base| base.shown());
        assert_eq!(shown("/shop").as_deref(), Some("/shop/"));
        assert_eq!(shown("https://cdn.example.com/x?y#z").as_deref(), Some("https://cdn.example.com/x/"));
        assert_eq!((shown("/"), shown("data:,"), shown("auto")), (None, None, Some("/auto/".into())));
    }
}
