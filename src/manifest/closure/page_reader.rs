//! Gives a page to the tokenizer, and says how much of it was read.
//! Never lets the tokenizer's states call each other in a circle: html5gum goes from one double-quoted attribute to the next by calls within
//! calls, so that some hundred attributes of one tag would overflow the stack of a thread.

use std::cell::Cell;
use std::convert::Infallible;

/// A page, read from its start.
///
/// Only where white space stands before `=` does the tokenizer return from each state before it enters the next one. To a page such a space
/// means nothing (HTML standard, 13.2.5.34: "after attribute name"), so it is put there.
pub(super) struct PageReader<'p> {
    page: &'p [u8],
    position: &'p Cell<usize>,
    has_put_space: bool,
}

impl<'p> PageReader<'p> {
    /// `position`: where the offset of what is read next is kept.
    pub(super) fn new(page: &'p str, position: &'p Cell<usize>) -> Self {
        Self { page: page.as_bytes(), position, has_put_space: false }
    }

    fn rest(&self) -> &'p [u8] {
        &self.page[self.position.get()..]
    }

    fn advance(&mut self, bytes: usize) {
        self.has_put_space = false;
        self.position.set(self.position.get() + bytes);
    }
}

impl html5gum::Reader for PageReader<'_> {
    type Error = Infallible;

    fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
        let byte = self.rest().first().copied();
        self.advance(usize::from(byte.is_some()));
        Ok(byte)
    }

    fn try_read_string(&mut self, wanted: &[u8], case_sensitive: bool) -> Result<bool, Infallible> {
        let next = self.rest().get(..wanted.len());
        let is_next = next.is_some_and(|next| next == wanted || (!case_sensitive && next.eq_ignore_ascii_case(wanted)));
        self.advance(if is_next { wanted.len() } else { 0 });
        Ok(is_next)
    }

    fn read_until<'b>(&'b mut self, needle: &[u8], _: &'b mut [u8; 4]) -> Result<Option<&'b [u8]>, Infallible> {
        let rest = self.rest();
        let Some(first) = rest.first() else { return Ok(None) };
        if *first == b'=' && is_in_attribute_name(needle) && !self.has_put_space {
            self.has_put_space = true;
            return Ok(Some(b" "));
        }
        let length = rest.iter().position(|byte| needle.contains(byte)).unwrap_or(rest.len()).max(1);
        self.advance(length);
        Ok(Some(&rest[..length]))
    }
}

/// The name of an attribute is the only text that both of these end.
fn is_in_attribute_name(needle: &[u8]) -> bool {
    needle.contains(&b'=') && needle.contains(&b'/')
}
