//! JSON of unknown shape, kept small: texts, lists of texts and objects; of everything else only that it is there.
//! Never a tree of what nobody asks for: the file is not ours, and 16 MB of brackets would become gigabytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    /// The texts of a list.
    List(Vec<String>),
    Object(BTreeMap<String, Node>),
    /// A number, a truth value, null.
    Other,
}

impl Node {
    /// The text that it is, if it is one.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) | Self::Object(_) | Self::Other => None,
        }
    }

    /// The object that these bytes are.
    pub(super) fn object(bytes: &[u8]) -> Result<BTreeMap<String, Self>, String> {
        match serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))? {
            Self::Object(object) => Ok(object),
            Self::Text(_) | Self::List(_) | Self::Other => Err("it is not an object".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut texts = Vec::new();
        while let Some(element) = list.next_element::<Node>()? {
            if let Node::Text(text) = element {
                texts.push(text);
            }
        }
        Ok(Node::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((name, value)) = object.next_entry()? {
            entries.insert(name, value);
        }
        Ok(Node::Object(entries))
    }
}
