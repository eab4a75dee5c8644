//! What the API server cannot be asked about in a unit test.

use super::*;
use crate::api::release::{ActivationSpec, AssetReleaseSpec};

fn roots() -> Vec<JSONSchemaProps> {
    crds().into_iter().flat_map(|crd| crd.spec.versions).map(|v| v.schema.unwrap().open_api_v3_schema.unwrap()).collect()
}

#[test]
fn every_text_list_and_map_is_bounded() {
    for mut root in roots() {
        for_each(&mut root, &mut |schema| {
            let known_length = schema.format.is_some() || schema.enum_.is_some();
            match schema.type_.as_deref() {
                Some("string") => assert!(known_length || schema.max_length.is_some(), "{schema:?}"),
                Some("array") => assert!(schema.max_items.is_some(), "{schema:?}"),
                Some("object") => assert!(schema.additional_properties.is_none(), "{schema:?}"),
                _ => {}
            }
        });
    }
}

#[test]
fn every_field_is_explained() {
    for mut root in roots() {
        for_each(&mut root, &mut |schema| {
            for (name, field) in schema.properties.iter().flatten() {
                assert!(field.description.as_ref().is_some_and(|text| !text.is_empty()), "{name} has no description");
            }
        });
    }
}

#[test]
fn no_field_takes_null_or_a_number_format_that_kubernetes_does_not_know() {
    for mut root in roots() {
        for_each(&mut root, &mut |schema| {
            assert_eq!(schema.nullable, None);
            assert!(!schema.enum_.iter().flatten().any(|value| value.0.is_null()), "{schema:?}");
            if schema.type_.as_deref() == Some("integer") {
                assert!(matches!(schema.format.as_deref(), Some("int32" | "int64")), "{schema:?}");
            }
        });
    }
}

/// The default that the schema writes for an absent `activation` once said `onMissingWorkload: Proceed`.
#[test]
fn an_absent_object_means_the_same_as_an_empty_one() {
    assert_eq!(ActivationSpec::default(), serde_json::from_str("{}").unwrap());
    let spec: AssetReleaseSpec =
        serde_json::from_value(json!({"storeRef": {"name": "s"}, "prefix": "p/", "version": "v1", "pointer": {"configMapName": "c"}}))
            .unwrap();
    assert_eq!(spec.activation.on_missing_workload, crate::api::release::ProceedOrWait::Wait);
    for mut root in roots() {
        for_each(&mut root, &mut |schema| {
            let Some(JSON(serde_json::Value::Object(whole))) = &schema.default else { return };
            for (name, value) in whole {
                let own = schema.properties.as_ref().and_then(|p| p.get(name)).and_then(|field| field.default.as_ref());
                assert_eq!(own.map(|JSON(default)| default), Some(value), "default of {name}");
            }
        });
    }
}

/// One object that cannot be read would stop the watch of all.
#[test]
fn every_moment_that_the_api_server_takes_can_be_read() {
    let mut found = 0;
    for mut root in roots() {
        for_each(&mut root, &mut |schema| {
            if schema.format.as_deref() != Some("date-time") {
                return;
            }
            found += 1;
            assert_eq!(schema.pattern.as_deref(), Some("^([0-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-"), "years 0000 to 9998");
        });
    }
    assert!(found >= 12, "{found}");
    let written = |at| crate::api::release::api_time(at).0.to_string();
    assert_eq!(written(jiff::Timestamp::MAX), "9998-12-31T23:59:59Z");
    assert_eq!(written(jiff::Timestamp::MIN), "0000-01-01T00:00:00Z");
    let read = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
    assert!(read("0000-01-01T00:00:00Z") && read("9998-12-31T23:59:59.999999Z") && !read("9999-12-31T23:59:59Z"));
}
