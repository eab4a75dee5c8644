//! What every status must satisfy so that kubectl, Flux and Argo read it rightly (I9): Flux's own condition checks, ported.

use serde_json::Value;

use crate::api::conditions::{READY, RECONCILING, STALLED};

/// Everything that is wrong with this object's status.
pub(super) fn faults(object: &Value) -> Vec<String> {
    let status = &object["status"];
    let observed = status["observedGeneration"].as_i64().unwrap_or(0);
    if observed < 0 {
        return Vec::new();
    }
    let mut faults = conditions_faults(status, observed);
    if observed > object["metadata"]["generation"].as_i64().unwrap_or(0) {
        faults.push("observedGeneration is ahead of the generation".into());
    }
    faults
}

fn conditions_faults(status: &Value, observed: i64) -> Vec<String> {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let is = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind).and_then(|found| found["status"].as_str());
    let (ready, reconciling, stalled) = (is(READY), is(RECONCILING), is(STALLED));
    let moving = [reconciling, stalled].contains(&Some("True"));
    let same_generation = conditions.iter().all(|condition| condition["observedGeneration"] == observed);
    let rules = [
        (ready.is_none(), "there is no Ready condition"),
        (ready == Some("True") && moving, "Ready is True beside Reconciling or Stalled"),
        (ready == Some("False") && !moving, "Ready is False and neither Reconciling nor Stalled says why"),
        (ready == Some("Unknown") && reconciling != Some("True"), "Ready is Unknown without Reconciling"),
        (reconciling.is_some() && stalled.is_some(), "Reconciling and Stalled together"),
        ([reconciling, stalled].iter().flatten().any(|status| *status != "True"), "Reconciling or Stalled is there and not True"),
        (ready == Some("True") && !same_generation, "Ready is True and a condition speaks of another generation"),
        (conditions.iter().any(|condition| condition["observedGeneration"].as_i64() > Some(observed)), "a condition is ahead"),
        (conditions.iter().any(|condition| condition["reason"].as_str().is_none_or(str::is_empty)), "a condition has no reason"),
    ];
    rules.iter().filter(|(broken, _)| *broken).map(|(_, text)| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(ready: &str, more: &Value) -> Value {
        let mut conditions = vec![json!({"type": "Ready", "status": ready, "reason": "R", "observedGeneration": 2})];
        conditions.extend(more.as_array().cloned().unwrap_or_default());
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": conditions}})
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let moving = json!([{"type": "Reconciling", "status": "True", "reason": "R", "observedGeneration": 2}]);
        assert_eq!(faults(&object("True", &json!([]))), Vec::<String>::new());
        assert_eq!(faults(&object("False", &moving)), Vec::<String>::new());
        for (ready, more) in [
            ("True", moving.clone()),
            ("False", json!([])),
            ("Unknown", json!([])),
            ("False", json!([{"type": "Reconciling", "status": "False", "reason": "R"}])),
            ("True", json!([{"type": "Uploaded", "status": "True", "reason": "R", "observedGeneration": 1}])),
            ("True", json!([{"type": "Uploaded", "status": "True", "reason": "", "observedGeneration": 2}])),
        ] {
            assert!(!faults(&object(ready, &more)).is_empty(), "{ready} {more}");
        }
    }
}
