//! What may go wrong with a build although it can be published: rules over its manifest and its texts, before anything is uploaded.
//! Pure: texts are handed in one at a time, and nothing is fetched, written or decided here; a finding never stops a publish by itself.
//!
//! A caller makes a [`Linter`], gives it the text of each file that [`Linter::reads`], and takes the [`Report`]:
//!
//! ```
//! use rollcall::lint::{Linter, sample};
//!
//! let build = sample::Build::new();
//! let mut linter = Linter::new(build.subject());
//! for file in &build.manifest.files {
//!     if linter.reads(file) {
//!         linter.read(file, build.text(&file.path));
//!     }
//! }
//! for finding in linter.finish().findings {
//!     println!("{finding}");
//! }
//! ```

use crate::manifest::closure::{Closure, Gaps, TEXT_BYTES_MAX};
use crate::manifest::readers::BuildNames;
use crate::manifest::{Manifest, ManifestFile, classify, headers};

mod absolute_host;
mod case_collision;
mod changed_name;
mod closure_gap;
mod groups;
mod report;
mod rule;
pub mod sample;
mod source_map;
mod unhashed_asset;

#[cfg(test)]
mod tests;

pub use absolute_host::{Host, HostRole, hosts_of};
pub use groups::Group;
pub use report::{Finding, Report, Severity};
pub use rule::Rule;

use report::Collected;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The build.
    pub manifest: &'a Manifest,
    /// What the build tool says of it.
    pub names: &'a BuildNames,
    /// The version before, if it is known.
    pub previous: Option<&'a Manifest>,
    /// URLs in front of the build's paths, each ending with `/`: where visitors find it.
    pub base_urls: &'a [String],
    /// Hosts that visitors must not be sent to; see [`hosts_of`].
    pub hosts: &'a [Host],
}

/// Looks at one build. Holds the findings and the build's paths, never a text.
#[derive(Debug)]
pub struct Linter<'a> {
    subject: Subject<'a>,
    closure: Closure<'a>,
    gaps: Gaps,
    maps: source_map::Maps,
    found: Collected,
}

impl<'a> Linter<'a> {
    /// Begins with the rules that need no text.
    #[must_use]
    pub fn new(subject: Subject<'a>) -> Self {
        let paths = subject.manifest.files.iter().map(|file| file.path.as_str());
        let closure = Closure::new(paths, subject.base_urls).built_as(subject.names);
        let (gaps, maps) = (Gaps::default(), source_map::Maps::default());
        let mut linter = Self { subject, closure, gaps, maps, found: Collected::default() };
        linter.gaps.look_at_names(subject.names);
        let found = &mut linter.found;
        unhashed_asset::look(&subject, found);
        changed_name::look(&subject, found);
        case_collision::look(&subject, found);
        for file in subject.manifest.files.iter().filter(|file| is_text(&file.path) && file.size > TEXT_BYTES_MAX) {
            found.unread(&file.path);
        }
        linter
    }

    /// With references resolved as the publish does it, which knows more than the subject: the prefix, and what others serve.
    #[must_use]
    pub fn resolving(mut self, closure: Closure<'a>) -> Self {
        self.closure = closure;
        self
    }

    /// Whether some rule needs the text of a file. Files over [`TEXT_BYTES_MAX`] are not read; the report names them.
    #[must_use]
    pub fn reads(&self, file: &ManifestFile) -> bool {
        is_text(&file.path) && file.size <= TEXT_BYTES_MAX
    }

    /// Looks at the text of a file, in any order of files. What is not UTF-8 in it may be replaced.
    pub fn read(&mut self, file: &ManifestFile, text: &str) {
        if Closure::looks_at(&file.path) {
            self.gaps.look(&self.closure, &file.path, text);
        }
        absolute_host::read(&self.subject, file, text, &mut self.found);
        self.maps.read(&self.closure, file, text);
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.maps.finish(&self.subject, &mut self.found);
        closure_gap::finish(self.gaps.finish(&self.closure), &mut self.found);
        self.found.into_report()
    }
}

/// Pages, scripts, styles and data; never source maps, which quote sources.
fn is_text(path: &str) -> bool {
    let kind = headers::content_type(path);
    !classify::is_source_map(path) && (kind.ends_with("charset=utf-8") || classify::is_page(path))
}
