//! What one watch has to select so that it brings the pods of several selectors: pods of which one label has one of the values that they ask
//! for. Never less than any of them selects.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Expression, Selector, SelectorExt as _};

/// Labels that tell applications apart, the one that says most first. Selectors that share one of them share a watch.
const TELLING: [&str; 4] = ["app.kubernetes.io/instance", "app.kubernetes.io/name", "app", "k8s-app"];

/// The longest selector in bytes: 1,500 values of 20 characters. An API server takes a megabyte of request line and headers; a proxy in front of it
/// may take 60 KiB.
const BYTES_MAX: usize = 32 << 10;

/// The labels of a pod.
pub(super) type Labels = BTreeMap<String, String>;

/// What selectors that share a watch have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Handle {
    /// Each asks for a value, or for one of several, of this label.
    Label(String),
    /// A selector that asks for no value of any label has a watch of its own.
    Whole(String),
}

/// A selector, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// With whom it shares a watch.
    pub(super) handle: Handle,
    /// The values of the handle's label that it asks for.
    pub(super) values: BTreeSet<String>,
    /// The selector itself. `None`: what its watch brings is what it selects.
    pub(super) all: Option<Selector>,
}

impl Taken {
    /// Takes a selector apart that kube has written.
    pub(super) fn apart(text: &str) -> Self {
        let whole = || Self { handle: Handle::Whole(text.to_owned()), values: BTreeSet::new(), all: None };
        let Some(expressions) = parse(text) else { return whole() };
        let asked = expressions.iter().filter_map(|expression| match expression {
            Expression::Equal(label, value) => Some((label, BTreeSet::from([value.clone()]))),
            Expression::In(label, values) => Some((label, values.clone())),
            Expression::NotIn(..) | Expression::NotEqual(..) | Expression::Exists(_) | Expression::DoesNotExist(_) => None,
        });
        let tells = |label: &str| TELLING.iter().position(|telling| *telling == label).unwrap_or(TELLING.len());
        match asked.min_by_key(|(label, _)| (tells(label), (*label).clone())) {
            Some((label, values)) => {
                Self { handle: Handle::Label(label.clone()), values, all: Some(expressions.iter().cloned().collect()) }
            }
            None => whole(),
        }
    }

    /// Whether it selects a pod with these labels, which its watch has brought.
    pub(super) fn selects(&self, labels: &Labels) -> bool {
        self.all.as_ref().is_none_or(|selector| selector.matches(labels))
    }
}

impl Handle {
    /// The value of its label.
    pub(super) fn value<'a>(&self, labels: &'a Labels) -> Option<&'a String> {
        match self {
            Self::Label(label) => labels.get(label),
            Self::Whole(_) => None,
        }
    }
}

/// The label selector of a watch or a LIST for all of these.
pub(super) fn union<'a>(handle: &Handle, values: impl Iterator<Item = &'a String>) -> String {
    match handle {
        Handle::Whole(selector) => selector.clone(),
        Handle::Label(label) => {
            let text = Expression::In(label.clone(), values.cloned().collect()).to_string();
            if text.len() <= BYTES_MAX { text } else { label.clone() }
        }
    }
}

/// `None` for what kube does not write like this.
fn parse(text: &str) -> Option<Vec<Expression>> {
    let expressions: Vec<Expression> = terms(text).into_iter().map(expression).collect();
    let written: Selector = expressions.iter().cloned().collect();
    (written.to_string() == text && expressions.iter().all(is_plain)).then_some(expressions)
}

/// Whether label and values are made of what Kubernetes lets them be made of.
fn is_plain(expression: &Expression) -> bool {
    let plain = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    match expression {
        Expression::In(label, values) | Expression::NotIn(label, values) => plain(label) && values.iter().all(plain),
        Expression::Equal(label, value) | Expression::NotEqual(label, value) => plain(label) && plain(value),
        Expression::Exists(label) | Expression::DoesNotExist(label) => plain(label),
    }
}

/// Parts between commas that are not within parentheses.
fn terms(text: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut terms) = (0_usize, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[begin..]);
    terms
}

fn expression(term: &str) -> Expression {
    let values = |list: &str| list.trim_end_matches(')').split(',').map(ToOwned::to_owned).collect();
    if let Some((label, list)) = term.split_once(" notin (") {
        Expression::NotIn(label.to_owned(), values(list))
    } else if let Some((label, list)) = term.split_once(" in (") {
        Expression::In(label.to_owned(), values(list))
    } else if let Some((label, value)) = term.split_once("!=") {
        Expression::NotEqual(label.to_owned(), value.to_owned())
    } else if let Some((label, value)) = term.split_once('=') {
        Expression::Equal(label.to_owned(), value.to_owned())
    } else if let Some(label) = term.strip_prefix('!') {
        Expression::DoesNotExist(label.to_owned())
    } else {
        Expression::Exists(term.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (Handle, Vec<String>) {
        let Taken { handle, values, .. } = Taken::apart(text);
        (handle, values.into_iter().collect())
    }

    fn label(name: &str) -> Handle {
        Handle::Label(name.to_owned())
    }

    #[test]
    fn selectors_are_grouped_by_the_label_that_tells_applications_apart() {
        for (text, handle, values) in [
            ("app=shop", "app", vec!["shop"]),
            ("tier=web,app=shop,!canary", "app", vec!["shop"]),
            ("app.kubernetes.io/name=shop,app.kubernetes.io/instance=shop-eu,app=x", "app.kubernetes.io/instance", vec!["shop-eu"]),
            ("zone=a,role in (api,web),zone notin (b),on,role!=db", "role", vec!["api", "web"]),
            ("app=", "app", vec![""]),
        ] {
            assert_eq!(taken(text), (label(handle), values.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn a_selector_that_asks_for_no_value_and_one_that_cannot_be_read_are_watched_as_they_are() {
        for text in ["app", "!app", "app notin (a,b)", "app!=a", "", "app==shop", "app in (shop", "app in ( shop )", "app in (b,a)"] {
            assert_eq!(taken(text), (Handle::Whole(text.to_owned()), Vec::new()), "{text}");
            assert_eq!(Taken::apart(text).all, None);
            assert_eq!(union(&Taken::apart(text).handle, std::iter::empty()), text);
        }
    }

    #[test]
    fn a_union_names_each_value_once_and_only_the_label_when_it_would_be_too_long() {
        let values = |count: usize| (0..count).map(|number| format!("shop-{:020}", number % 1_400)).collect::<Vec<_>>();
        assert_eq!(union(&label("app"), ["b", "a", "b"].map(str::to_owned).iter()), "app in (a,b)");
        assert_eq!(union(&label("app"), values(2_800).iter()), "app", "1,400 values of 25 characters are too long");
        assert!(union(&label("app"), values(1_000).iter()).starts_with("app in (shop-0"));
    }
}
