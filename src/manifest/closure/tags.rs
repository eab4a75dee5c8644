//! What the tokenizer gives of a page, with no more of it than is asked for: tags with the attributes that may refer to something, and the
//! text of scripts and styles.
//! Never keeps an attribute that nobody reads: one tag may have millions.

use html5gum::Span;
use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};

/// Attributes that are read of any tag; the first of a name counts.
const READ: [&str; 17] = [
    "as",
    "background",
    "before-hydration-url",
    "component-url",
    "data",
    "href",
    "imagesrcset",
    "poster",
    "rel",
    "renderer-url",
    "shadowrootmode",
    "src",
    "srcdoc",
    "srcset",
    "style",
    "type",
    "xlink:href",
];

/// Elements whose text is read.
const WITH_TEXT: [&[u8]; 2] = [b"script", b"style"];

/// What a page is made of.
#[derive(Debug)]
pub(super) enum Piece {
    Start(Tag),
    End(Vec<u8>),
    Text(Vec<u8>),
    Doctype,
}

/// A start tag.
#[derive(Debug, Default)]
pub(super) struct Tag {
    name: Vec<u8>,
    attributes: Vec<(&'static str, Vec<u8>)>,
    pub(super) closes_itself: bool,
}

impl Tag {
    pub(super) fn name(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// The value with its character references decoded, as the tokenizer of the standard gives it.
    pub(super) fn get(&self, attribute: &str) -> Option<String> {
        debug_assert!(READ.contains(&attribute), "{attribute} is not kept");
        let found = self.attributes.iter().find(|(name, _)| *name == attribute);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// Makes pieces of the tokenizer's events.
#[derive(Debug, Default)]
pub(super) struct Tags {
    tag: Tag,
    /// Whether the value that comes next is that of the attribute kept last.
    keeps_value: bool,
    /// Whether the text that comes next is that of an element whose text is read.
    keeps_text: bool,
}

/// The emitter for a tokenizer of pages, which takes what stands in `<script>` and its like as text.
pub(super) fn emitter() -> CallbackEmitter<Tags, Piece> {
    let mut emitter = CallbackEmitter::new(Tags::default());
    emitter.naively_switch_states(true);
    emitter
}

impl Callback<Piece, ()> for Tags {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Piece> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.keeps_text = WITH_TEXT.contains(&name);
                self.keeps_value = false;
                self.tag = Tag { name: name.to_vec(), ..Tag::default() };
                None
            }
            CallbackEvent::AttributeName { name } => {
                let read = READ.iter().find(|read| read.as_bytes() == name && !self.tag.attributes.iter().any(|(known, _)| known == *read));
                self.tag.attributes.extend(read.map(|name| (*name, Vec::new())));
                self.keeps_value = read.is_some();
                None
            }
            CallbackEvent::AttributeValue { value } => {
                if let Some((_, kept)) = self.tag.attributes.last_mut().filter(|_| self.keeps_value) {
                    kept.extend_from_slice(value);
                }
                None
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                let tag = std::mem::take(&mut self.tag);
                Some(Piece::Start(Tag { closes_itself: self_closing, ..tag }))
            }
            CallbackEvent::EndTag { name } => {
                self.keeps_text = false;
                self.tag = Tag::default();
                Some(Piece::End(name.to_vec()))
            }
            CallbackEvent::String { value } => self.keeps_text.then(|| Piece::Text(value.to_vec())),
            CallbackEvent::Doctype { .. } => Some(Piece::Doctype),
            CallbackEvent::Comment { .. } | CallbackEvent::Error(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use html5gum::Tokenizer;

    use super::*;

    fn tags(page: &str) -> Vec<Tag> {
        let pieces = Tokenizer::new_with_emitter(page, emitter()).flatten();
        pieces.filter_map(|piece| if let Piece::Start(tag) = piece { Some(tag) } else { None }).collect()
    }

    #[test]
    fn attributes_that_nobody_reads_are_not_kept() {
        let others = (0..1_000).map(|n| format!("a{n} ")).collect::<Vec<_>>().concat();
        let tags = tags(&format!("<img {others}src=a.png {others}><p id=x class=y title=z>"));
        assert_eq!(tags.iter().map(|tag| tag.attributes.len()).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(tags[0].get("src").as_deref(), Some("a.png"));
    }

    #[test]
    fn the_first_attribute_of_a_name_counts() {
        let tags = tags("<img src=a.png src=b.png SRC=c.png><img src srcset=d.png></p href=e><a rel=x href=f>");
        let of = |at: usize, name: &str| tags[at].get(name);
        assert_eq!(
            (of(0, "src").as_deref(), of(1, "src").as_deref(), of(1, "srcset").as_deref()),
            (Some("a.png"), Some(""), Some("d.png"))
        );
        assert_eq!((tags.len(), of(2, "href").as_deref()), (3, Some("f")));
    }

    #[test]
    fn text_that_nobody_reads_is_not_kept() {
        let page = "a<p>b<script>c</script>d<style>e</style><script type=x>f</script>g";
        let pieces = Tokenizer::new_with_emitter(page, emitter()).flatten();
        let texts: Vec<_> = pieces.filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None }).collect();
        assert_eq!(texts, [b"c", b"e", b"f"]);
    }
}
