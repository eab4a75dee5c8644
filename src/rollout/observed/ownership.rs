//! Who has which field of the pointer's `ConfigMap`, as its `metadata.managedFields` say.
//! Never names a program for a field that the API server does not list as its own.

use std::fmt;

use crate::api::ForeignText;
use crate::api::names::{NAME_MAP_KEY, POINTER_KEY};

/// How a field manager came to its fields; the same name with another operation is another manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other request.
    Update,
}

/// A field manager, as the API server lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldManager {
    /// Its name, which each program chooses for itself.
    pub name: ForeignText,
    /// How it came to its fields.
    pub operation: Operation,
    /// The subresource through which it wrote.
    pub subresource: Option<ForeignText>,
}

impl fmt::Display for FieldManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the field manager {:?} (operation {:?}", self.name, self.operation)?;
        if let Some(subresource) = &self.subresource {
            write!(f, ", subresource {subresource:?}")?;
        }
        f.write_str(")")
    }
}

/// A field of the `ConfigMap` that can keep Rollcall from writing the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PointerField {
    /// The pointer's document.
    Document,
    /// The name map beside it.
    NameMap,
    /// The document's key, used for binary data: a key cannot be in both.
    BinaryDocument,
    /// The same of the name map's key.
    BinaryNameMap,
    /// `immutable: true`: nobody can write the object any more.
    Immutable,
}

impl PointerField {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 5] = [Self::Document, Self::NameMap, Self::BinaryDocument, Self::BinaryNameMap, Self::Immutable];

    /// Field of the object, and key in it where it has keys.
    #[must_use]
    pub fn place(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Document => ("data", Some(POINTER_KEY)),
            Self::NameMap => ("data", Some(NAME_MAP_KEY)),
            Self::BinaryDocument => ("binaryData", Some(POINTER_KEY)),
            Self::BinaryNameMap => ("binaryData", Some(NAME_MAP_KEY)),
            Self::Immutable => ("immutable", None),
        }
    }
}

impl fmt::Display for PointerField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            (field, Some(key)) => write!(f, "{field}[{key:?}]"),
            (field, None) => f.write_str(field),
        }
    }
}

/// Fields that keep Rollcall from writing the pointer, and who has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// Who has them; `None` when managedFields name nobody.
    pub manager: Option<FieldManager>,
    /// Those that this manager has, at least one.
    pub fields: Vec<PointerField>,
    /// How many other field managers have such fields.
    pub others: usize,
}

/// The labels of a `ConfigMap` that make it the pointer of a release, where they do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignLabels {
    /// Value of `rollcall.dev/pointer`.
    pub pointer: Option<ForeignText>,
    /// Value of `rollcall.dev/release`.
    pub release: Option<ForeignText>,
    /// Who set the one that is wrong; `None` when it is not there, or nobody is named.
    pub set_by: Option<FieldManager>,
}
