//! A build with everything wrong, for the reference page and for tests. Never published.

use std::collections::BTreeMap;

use super::{Host, HostRole, Linter, Report, Subject};
use crate::api::{BuildManifestSpec, ContentHash};
use crate::manifest::Manifest;
use crate::manifest::build::{NewFile, assemble};
use crate::manifest::readers::{self, BuildNames};

const BEFORE: [(&str, &str); 5] = [
    ("config.js", "one"),
    ("index.html", ""),
    ("assets/app-BEcQUh0e.js", "one"),
    ("assets/Hero-Dg-PRAVz.svg", "<svg/>"),
    (".vite/manifest.json", r#"{"src/app.js":{"file":"assets/app-BEcQUh0e.js"}}"#),
];

const NOW: [(&str, &str); 12] = [
    ("config.js", "two"),
    (
        "index.html",
        r#"<link rel="icon" href="icon.svg"><script src="assets/app-BEcQUh0e.js"></script><script src="assets/gone-BEcQUh0e.js"></script>
           <script src="https://fonts.example.org/x.js"></script><img src="assets/c++.svg"><img src="http://minio.storage.svc:9000/web/logo.png">"#,
    ),
    ("assets/app-BEcQUh0e.js", "fetch(\"http://10.0.0.7/api\")\n//# sourceMappingURL=app-BEcQUh0e.js.map\n"),
    ("assets/cart-nPyXgmxr.js", "export {}\nimport(\"./checkout-BkD3aq0L.js\")\n"),
    ("assets/lib-Cpo3Cw31.js", "export {}\n//# sourceMappingURL=lib-Cpo3Cw31.js.map\n"),
    ("assets/lib-Cpo3Cw31.js.map", "{}"),
    ("assets/hero-Dg-PRAVz.svg", "<svg/>"),
    ("assets/c++.svg", "<svg/>"),
    ("assets/logo.png", ""),
    ("assets/Logo.png", ""),
    ("favicon.ico", ""),
    (".vite/manifest.json", r#"{"src/app.js":{"file":"assets/app-BEcQUh0e.js","css":["assets/app-C7QllA05.css"]}}"#),
];

/// A build, the one before, and where they are published.
#[derive(Debug)]
pub struct Build {
    /// The build's manifest.
    pub manifest: Manifest,
    texts: BTreeMap<String, String>,
    names: BuildNames,
    previous: Manifest,
    base_urls: Vec<String>,
    hosts: Vec<Host>,
}

impl Build {
    /// The one sample.
    #[must_use]
    pub fn new() -> Self {
        let (manifest, names) = assembled(&NOW);
        Self {
            manifest,
            names,
            texts: NOW.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
            previous: assembled(&BEFORE).0,
            base_urls: vec!["https://cdn.example.com/shop/".to_owned()],
            hosts: Host::of_url(HostRole::Endpoint, "http://minio.storage.svc:9000").into_iter().collect(),
        }
    }

    /// What a linter is given of it.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            manifest: &self.manifest,
            names: &self.names,
            previous: Some(&self.previous),
            base_urls: &self.base_urls,
            hosts: &self.hosts,
        }
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        self.texts.get(path).map(String::as_str).unwrap_or_default()
    }

    /// Everything that is wrong with it.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut linter = Linter::new(self.subject());
        for file in &self.manifest.files {
            if linter.reads(file) {
                linter.read(file, self.text(&file.path));
            }
        }
        linter.finish()
    }
}

impl Default for Build {
    fn default() -> Self {
        Self::new()
    }
}

fn assembled(files: &[(&str, &str)]) -> (Manifest, BuildNames) {
    let new = |(path, text): &(&str, &str)| NewFile {
        path: (*path).to_owned(),
        size: text.len() as u64,
        sha256: ContentHash::of(text.as_bytes()),
    };
    let new: Vec<NewFile> = files.iter().map(new).collect();
    let texts: BTreeMap<String, &str> = files.iter().map(|(path, text)| ((*path).to_owned(), *text)).collect();
    let names = readers::read(&BuildManifestSpec::default(), &new, &texts).expect("the sample is readable");
    (assemble(new, &names).expect("the sample is publishable").manifest, names)
}
