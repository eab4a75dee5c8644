//! One selector's pods, as its LISTs and the watch that it shares show them. Pure: what arrives goes in, who has to be woken comes out.
//! Never shows a state of the pods that is older than the one that it showed before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::polls::Polls;
use super::selector::{Labels, Taken};
use super::{ReleaseKey, Snapshot, lock};
use crate::cluster::calls::{CallError, Class};
use crate::cluster::lite::PodLite;

/// The pods by name.
pub(super) type Pods = BTreeMap<String, Arc<PodLite>>;

/// What a watch says of one pod.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) name: String,
    /// The version of the change; `None` when the API server's versions are no numbers, which no API server's are.
    pub(super) version: Option<u64>,
    /// As it is now; `None` when it is gone.
    pub(super) pod: Option<Arc<PodLite>>,
}

/// A selector that one or more releases look at.
pub(super) struct Member {
    pub(super) taken: Taken,
    pub(super) snapshot: Arc<Mutex<Snapshot>>,
    /// The stage that pods are asked for over HTTP.
    pub(super) stage: watch::Sender<i64>,
    pub(super) polls: Option<Polls>,
    /// Who looks at it, each with the number of the newest LIST that it waits for or has waited for.
    pub(super) users: BTreeMap<ReleaseKey, u64>,
    /// Number of the newest LIST that was asked for.
    pub(super) wanted: u64,
    /// The watch brings its pods.
    pub(super) is_watched: bool,
    /// A LIST under way, with what the watch has brought since it began.
    listing: Option<Listing>,
    /// The version of the newest LIST: what the watch says of earlier ones is in it.
    listed_at: Option<u64>,
}

struct Listing {
    number: u64,
    round: u64,
    since: BTreeMap<String, Change>,
}

/// Whom a change has to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wakes {
    /// No release.
    None,
    /// Those that wait for a LIST with a higher number than this.
    Waiting(u64),
    /// Every release that looks.
    All,
}

impl Member {
    pub(super) fn new(taken: Taken, snapshot: Arc<Mutex<Snapshot>>, stage: watch::Sender<i64>, polls: Option<Polls>) -> Self {
        Self { taken, snapshot, stage, polls, users: BTreeMap::new(), wanted: 0, is_watched: false, listing: None, listed_at: None }
    }

    /// Asks for a LIST that begins from now on, for this release; its number.
    pub(super) fn want(&mut self, release: &ReleaseKey) -> u64 {
        self.wanted += 1;
        self.users.insert(release.clone(), self.wanted);
        self.wanted
    }

    /// Whether a LIST is to be begun: one was asked for, and none that is under way is it.
    pub(super) fn needs_a_list(&self) -> bool {
        self.listing.is_none() && lock(&self.snapshot).round < self.wanted
    }

    /// The LIST begins now: it shows everything up to the writes of those who asked for it, at least.
    pub(super) fn begin_a_list(&mut self, number: u64) {
        self.listing = Some(Listing { number, round: self.wanted, since: BTreeMap::new() });
    }

    /// The watch has a gap: no more is known than a LIST from now on will say.
    pub(super) fn lose_the_watch(&mut self) {
        self.is_watched = false;
        self.listing = None;
        self.wanted += 1;
    }

    /// The LIST under way has shown these pods at this version. The watch may have brought newer ones meanwhile, and may bring older ones after.
    pub(super) fn end_the_list(&mut self, number: u64, mut pods: Pods, version: Option<u64>) -> Wakes {
        let Some(listing) = self.listing.take_if(|listing| listing.number == number) else { return Wakes::None };
        self.listed_at = version;
        for change in listing.since.into_values().filter(|change| is_after(change.version, version)) {
            apply(&mut pods, change);
        }
        if let Some(polls) = &mut self.polls {
            polls.keep_up(&pods);
        }
        let mut snapshot = lock(&self.snapshot);
        let is_same = snapshot.refused.is_none() && are_same(&snapshot.pods, &pods);
        let before = std::mem::replace(&mut snapshot.round, listing.round);
        snapshot.refused = None;
        snapshot.pods = Arc::new(pods);
        // A LIST that shows the same pods is news only for those who wait for it: else 200 releases that come to share a view would have each
        // other looked at 20,000 times.
        if is_same { Wakes::Waiting(before) } else { Wakes::All }
    }

    /// The LIST under way has failed. A hiccup leaves the view as good as it was; a right that is missing does not.
    pub(super) fn refuse(&mut self, number: u64, error: &CallError) -> Wakes {
        if self.listing.take_if(|listing| listing.number == number).is_none() {
            return Wakes::None;
        }
        let lasts = matches!(error.class, Class::Denied | Class::Invalid);
        let is_news = lasts && lock(&self.snapshot).refused.replace(error.clone()).as_ref() != Some(error);
        if is_news { Wakes::All } else { Wakes::None }
    }

    /// The watch says this of a pod that is or was ours, or is neither; its labels tell.
    pub(super) fn hear(&mut self, change: Change, labels: &Labels) -> Wakes {
        let change = Change { pod: change.pod.filter(|_| self.taken.selects(labels)), ..change };
        let is_known = || lock(&self.snapshot).pods.contains_key(&change.name);
        let is_listing = self.listing.is_some();
        if !is_after(change.version, self.listed_at) || (change.pod.is_none() && !is_listing && !is_known()) {
            return Wakes::None;
        }
        if let Some(listing) = &mut self.listing {
            listing.since.insert(change.name.clone(), change.clone());
        }
        if let Some(polls) = &mut self.polls {
            polls.follow(&change.name, change.pod.as_deref());
        }
        apply(Arc::make_mut(&mut lock(&self.snapshot).pods), change);
        Wakes::All
    }
}

fn apply(pods: &mut Pods, change: Change) {
    match change.pod {
        Some(pod) => pods.insert(change.name, pod),
        None => pods.remove(&change.name),
    };
}

/// Whether a change is not in a state of the pods. What cannot be compared is taken for newer.
fn is_after(change: Option<u64>, state: Option<u64>) -> bool {
    change.zip(state).is_none_or(|(change, state)| change > state)
}

/// Whether these are the same pods in the same versions.
fn are_same(some: &Pods, others: &Pods) -> bool {
    let version = |pod: &PodLite| (pod.metadata.uid.clone(), pod.metadata.resource_version.clone());
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| one.0 == other.0 && version(one.1) == version(other.1))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn member() -> Member {
        let mut member = Member::new(Taken::apart("app=shop"), Arc::default(), watch::channel(1).0, None);
        member.want(&ReleaseKey { namespace: "shop".into(), name: "shop".into() });
        member
    }

    fn pod(version: u64) -> Arc<PodLite> {
        let resource_version = Some(version.to_string());
        Arc::new(PodLite { metadata: ObjectMeta { resource_version, ..ObjectMeta::default() }, ..PodLite::default() })
    }

    fn app(name: &str) -> Labels {
        [("app".to_owned(), name.to_owned())].into()
    }

    fn changes(member: &mut Member, name: &str, version: u64) -> Wakes {
        member.hear(Change { name: name.into(), version: Some(version), pod: Some(pod(version)) }, &app("shop"))
    }

    fn goes(member: &mut Member, name: &str, version: u64) -> Wakes {
        member.hear(Change { name: name.into(), version: Some(version), pod: None }, &Labels::new())
    }

    fn listed(names: &[(&str, u64)]) -> Pods {
        names.iter().map(|(name, version)| ((*name).to_owned(), pod(*version))).collect()
    }

    fn ends(member: &mut Member, pods: Pods, version: u64) -> Wakes {
        member.end_the_list(1, pods, Some(version))
    }

    fn shown(member: &Member) -> Vec<(String, String)> {
        let version = |pod: &PodLite| pod.metadata.resource_version.clone().unwrap();
        lock(&member.snapshot).pods.iter().map(|(name, pod)| (name.clone(), version(pod))).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    /// I2, I11: the answer of a LIST may be late, and the watch may lag behind it or be ahead of it.
    #[test]
    fn a_list_and_a_watch_that_overlap_show_each_pod_in_its_newest_version() {
        let mut member = member();
        member.begin_a_list(1);
        ends(&mut member, listed(&[("a", 3), ("b", 4), ("c", 5)]), 10);
        assert_eq!(changes(&mut member, "a", 8), Wakes::None, "the watch lags behind the LIST");
        assert_eq!(goes(&mut member, "b", 9), Wakes::None);
        assert_eq!(shown(&member), pairs(&[("a", "3"), ("b", "4"), ("c", "5")]));
        member.want(&ReleaseKey { namespace: "shop".into(), name: "other".into() });
        member.begin_a_list(1);
        changes(&mut member, "a", 22);
        goes(&mut member, "b", 23);
        changes(&mut member, "d", 24);
        goes(&mut member, "e", 25);
        assert_eq!(shown(&member), pairs(&[("a", "22"), ("c", "5"), ("d", "24")]), "what the watch says counts at once");
        ends(&mut member, listed(&[("a", 3), ("b", 4), ("c", 15), ("e", 16)]), 20);
        assert_eq!(shown(&member), pairs(&[("a", "22"), ("c", "15"), ("d", "24")]), "the LIST was answered late");
    }

    /// A target that is taken out and put back has a view of its own, whose wish the LIST of before knew nothing of.
    #[test]
    fn the_answer_of_a_list_that_another_view_began_is_nobodys() {
        let mut member = member();
        member.begin_a_list(2);
        assert_eq!(ends(&mut member, listed(&[("ghost", 3)]), 10), Wakes::None);
        assert_eq!((shown(&member), lock(&member.snapshot).round), (pairs(&[]), 0));
        assert_eq!(member.end_the_list(2, listed(&[("a", 11)]), Some(12)), Wakes::All);
        assert_eq!(shown(&member), pairs(&[("a", "11")]));
    }

    #[test]
    fn a_pod_that_is_relabelled_leaves() {
        let relabelled = |member: &mut Member, version: u64| {
            member.hear(Change { name: "a".into(), version: Some(version), pod: Some(pod(version)) }, &app("other"))
        };
        let mut member = member();
        member.begin_a_list(1);
        ends(&mut member, listed(&[("a", 3)]), 10);
        assert_eq!(relabelled(&mut member, 11), Wakes::All);
        assert_eq!(shown(&member), []);
        assert_eq!(relabelled(&mut member, 12), Wakes::None, "it was not ours any more");
    }

    #[test]
    fn a_list_is_begun_for_what_was_asked_before_it_and_once_more_for_what_is_asked_while_it_runs() {
        let mut member = member();
        let (one, two) =
            (ReleaseKey { namespace: "shop".into(), name: "one".into() }, ReleaseKey { namespace: "shop".into(), name: "two".into() });
        let first = member.want(&one);
        assert!(member.needs_a_list());
        member.begin_a_list(1);
        assert!(!member.needs_a_list());
        let second = member.want(&two);
        assert!(!member.needs_a_list(), "one at a time");
        ends(&mut member, listed(&[]), 10);
        assert_eq!(lock(&member.snapshot).round, first, "it began before the second one was asked for");
        assert!(member.needs_a_list());
        member.begin_a_list(1);
        assert_eq!(ends(&mut member, listed(&[]), 12), Wakes::Waiting(first));
        assert_eq!(lock(&member.snapshot).round, second);
        member.lose_the_watch();
        assert!(member.needs_a_list(), "what the watch would have brought is missing");
    }
}
