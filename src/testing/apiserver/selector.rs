//! Label and field selectors, as they stand in query strings.
//! Never lenient: what the real server refuses is refused.

use serde_json::Value;

use super::refusal::Refusal;

/// Which objects of a list or watch are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Fields that can be selected by; the real server has a list for each kind.
const FIELDS: [&str; 4] = ["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"];

impl Selector {
    pub(super) fn parse(labels: Option<&str>, fields: Option<&str>) -> Result<Self, Refusal> {
        let labels = split(labels.unwrap_or_default()).iter().map(|term| requirement(term)).collect::<Result<_, _>>()?;
        let fields = split(fields.unwrap_or_default()).iter().map(|term| field(term)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|requirement| requirement.holds(object)) && self.fields.iter().all(|field| field_holds(field, object))
    }
}

impl Requirement {
    fn holds(&self, object: &Value) -> bool {
        let label = |name: &str| object["metadata"]["labels"].get(name).and_then(Value::as_str).map(str::to_owned);
        match self {
            Self::In(name, values) => label(name).is_some_and(|value| values.contains(&value)),
            Self::NotIn(name, values) => label(name).is_none_or(|value| !values.contains(&value)),
            Self::Exists(name) => label(name).is_some(),
            Self::Missing(name) => label(name).is_none(),
        }
    }
}

fn field_holds((path, wanted, equal): &(String, String, bool), object: &Value) -> bool {
    let found = path.split('.').fold(object, |value, step| &value[step]).as_str().unwrap_or_default();
    (found == wanted) == *equal
}

/// At commas that are not inside parentheses.
fn split(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut depth = 0;
    for character in text.chars() {
        match character {
            ',' if depth == 0 => terms.push(String::new()),
            other => {
                depth += i32::from(other == '(') - i32::from(other == ')');
                terms.last_mut().expect("there is always one term").push(other);
            }
        }
    }
    terms.into_iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

fn requirement(term: &str) -> Result<Requirement, Refusal> {
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(name.trim().into(), vec![value.trim().into()]));
    }
    if let Some((name, value)) = term.split_once('=') {
        return Ok(Requirement::In(name.trim().into(), vec![value.trim_start_matches('=').trim().into()]));
    }
    if let Some((head, list)) = term.split_once('(') {
        return set(head.trim(), list.trim_end_matches(')'), term);
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Requirement::Missing(name.trim().into())),
        None if term.contains(' ') => Err(unparsable(term)),
        None => Ok(Requirement::Exists(term.into())),
    }
}

fn set(head: &str, list: &str, term: &str) -> Result<Requirement, Refusal> {
    let values = list.split(',').map(|value| value.trim().to_owned()).collect();
    match head.rsplit_once(' ') {
        Some((name, "in")) => Ok(Requirement::In(name.trim().into(), values)),
        Some((name, "notin")) => Ok(Requirement::NotIn(name.trim().into(), values)),
        _ => Err(unparsable(term)),
    }
}

fn unparsable(term: &str) -> Refusal {
    Refusal::bad_request(format!("unable to parse requirement: {term}"))
}

fn field(term: &str) -> Result<(String, String, bool), Refusal> {
    let (path, value, equal) = match (term.split_once("!="), term.split_once('=')) {
        (Some((path, value)), _) => (path, value, false),
        (None, Some((path, value))) => (path, value.trim_start_matches('='), true),
        (None, None) => return Err(Refusal::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'"))),
    };
    if FIELDS.contains(&path) {
        Ok((path.into(), value.into(), equal))
    } else {
        Err(Refusal::bad_request(format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_requirements_hold_as_the_documentation_says() {
        let object = json!({"metadata": {"labels": {"app": "shop", "tier": "web"}}});
        for (selector, wanted) in [
            ("app=shop", true),
            ("app==shop,tier=web", true),
            ("app=shop,tier=db", false),
            ("app!=shop", false),
            ("none!=shop", true),
            ("app in (shop, cart)", true),
            ("app in (cart),tier", false),
            ("app notin (cart,x),tier", true),
            ("!none", true),
            ("!app", false),
        ] {
            assert_eq!(Selector::parse(Some(selector), None).unwrap().matches(&object), wanted, "{selector}");
        }
        assert!(Selector::parse(Some("app within (shop)"), None).is_err());
    }

    #[test]
    fn fields_can_be_selected_by_name_and_node() {
        let object = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"nodeName": "n1"}});
        for (selector, wanted) in [("metadata.name=a", true), ("metadata.name!=a", false), ("spec.nodeName=n1,metadata.namespace=n", true)]
        {
            assert_eq!(Selector::parse(None, Some(selector)).unwrap().matches(&object), wanted, "{selector}");
        }
        assert!(Selector::parse(None, Some("spec.foo=bar")).is_err());
    }
}
