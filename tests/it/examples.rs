//! Everything that people copy is taken: each document of our kinds in `examples`, in `deploy` and in the pages' fenced YAML is
//! of its kind, has no field that nobody reads, and passes the rules of the CRDs.

use kube::core::cel::Validator;
use rollcall::api::{AssetRelease, AssetStore, schema};
use serde::Deserialize as _;
use serde_json::Value;

use crate::repository::{TextFile, files};

fn documents(yaml: &str, place: &str) -> Vec<(String, Value)> {
    let parsed = serde_yaml_ng::Deserializer::from_str(yaml).map(Value::deserialize);
    let values = parsed.map(|value| value.unwrap_or_else(|error| panic!("{place}: {error}")));
    values.filter(|value| value["apiVersion"] == "rollcall.dev/v1alpha1").map(|value| (place.to_owned(), value)).collect()
}

/// The fenced blocks of a page that say they are YAML.
fn fenced(page: &TextFile) -> Vec<(String, Value)> {
    let blocks = page.text.split("\n```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or_default());
    blocks.enumerate().flat_map(|(index, block)| documents(block, &format!("{} block {}", page.path, index + 1))).collect()
}

fn all() -> Vec<(String, Value)> {
    let yaml = files(&["examples", "deploy", "tests/e2e"], &[".yaml"]);
    let pages = files(&["README.md", "CONTRIBUTING.md", "docs", "deploy", "examples", "charts"], &[".md"]);
    yaml.iter().flat_map(|file| documents(&file.text, &file.path)).chain(pages.iter().flat_map(fenced)).collect()
}

/// What our types say, then what the CRD's rules say. Types refuse unknown fields in the spec.
fn refusal(object: &Value) -> Option<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let parsed = match kind {
        "AssetStore" => AssetStore::deserialize(object).err(),
        "AssetRelease" => AssetRelease::deserialize(object).err(),
        other => return Some(format!("{other:?} is not one of our kinds")),
    };
    let crd = schema::crds().into_iter().find(|crd| crd.spec.names.kind == kind)?;
    let root = serde_json::to_value(&crd.spec.versions[0].schema.as_ref()?.open_api_v3_schema).unwrap();
    let rules = Validator::new().validate(&root, object, None).err();
    parsed.map(|error| error.to_string()).or(rules.map(|errors| errors.to_string()))
}

#[test]
fn what_people_copy_is_taken() {
    let all = all();
    for place in ["README.md", "docs/adopting.md", "examples/"] {
        assert!(all.iter().any(|(of, _)| of.starts_with(place)), "{place} has no example any more");
    }
    let refused: Vec<String> = all.iter().filter_map(|(place, object)| Some(format!("{place}: {}", refusal(object)?))).collect();
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let pages = files(&["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs", "deploy", "charts", "examples"], &[".md"]);
    let mut dead = Vec::new();
    for page in &pages {
        let folder = std::path::Path::new(&page.path).parent().unwrap();
        let links = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = crate::repository::top().join(if file.is_empty() { page.path.clone().into() } else { folder.join(file) });
            let has_anchor = || std::fs::read_to_string(&target).is_ok_and(|text| headings(&text).any(|heading| heading == anchor));
            if !target.exists() || !(anchor.is_empty() || has_anchor()) {
                dead.push(format!("{}: {link}", page.path));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

/// Commands in blocks of their own and within backquotes.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().flat_map(move |line| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        let quoted = line.split('`').skip(1).step_by(2).filter(move |_| !fenced && !is_fence);
        let own = line.split('#').next().filter(|_| fenced && !is_fence);
        quoted.chain(own).collect::<Vec<_>>()
    })
}

/// The targets that a command builds, also behind settings (`KEEP=1 make demo`).
fn targets(command: &str) -> impl Iterator<Item = &str> {
    let mut words = command.split_whitespace().skip_while(|word| word.contains('='));
    let is_make = words.next() == Some("make");
    words.filter(move |word| is_make && !word.contains('='))
}

#[test]
fn make_targets_that_pages_name_exist() {
    let makefile = std::fs::read_to_string(crate::repository::top().join("Makefile")).unwrap();
    let exists = |target: &str| makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    let pages = files(&["README.md", "CONTRIBUTING.md", "docs", "tests/cluster/README.md"], &[".md"]);
    let named: Vec<(&str, &str)> =
        pages.iter().flat_map(|page| commands(&page.text).flat_map(targets).map(|target| (page.path.as_str(), target))).collect();
    for wanted in ["demo", "cluster-down", "reproducible"] {
        assert!(named.iter().any(|(_, target)| *target == wanted), "{wanted} in {named:?}");
    }
    let missing: Vec<_> = named.iter().filter(|(_, target)| !exists(target)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Without it pods ask a public registry for an image that is not there.
#[test]
fn pages_that_add_the_agent_say_where_its_image_is() {
    let pages = files(&["README.md", "docs", "deploy", "examples"], &[".md", "kustomization.yaml"]);
    let adding: Vec<&TextFile> =
        pages.iter().filter(|page| page.text.contains("\ncomponents: [") && page.text.contains("/agent]")).collect();
    assert!(adding.len() >= 4, "the pages are somewhere else");
    let without: Vec<&str> =
        adding.iter().filter(|page| !page.text.contains("{name: rollcall, newName: ")).map(|page| page.path.as_str()).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// What the README installs on the cluster of this repository is what `make image` builds.
#[test]
fn the_readme_names_the_image_that_make_builds() {
    let text = |path: &str| std::fs::read_to_string(crate::repository::top().join(path)).unwrap();
    let makefile = text("Makefile");
    let image = makefile.lines().find_map(|line| line.strip_prefix("IMAGE := ")).unwrap();
    let (repository, tag) = image.split_once(':').unwrap();
    let settings = format!("--set image.repository={repository} --set image.tag={tag} ");
    assert!(text("README.md").contains(&settings), "{settings}");
}

/// Anchors as GitHub makes them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    })
}
