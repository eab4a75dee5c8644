//! `srcset` and `imagesrcset`, by the grammar of the HTML standard ("parse a srcset attribute").
//! Never splits a URL at a comma within it: those of `data:` URLs and of picture services have some.

/// The URLs, in the order in which they stand there.
pub(super) fn candidates(srcset: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    let mut rest = srcset;
    loop {
        rest = rest.trim_start_matches(|c: char| is_space(c) || c == ',');
        if rest.is_empty() {
            return urls;
        }
        let (url, after) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
        let trimmed = url.trim_end_matches(',');
        if !trimmed.is_empty() {
            urls.push(trimmed);
        }
        // With a comma at its end the URL has no description.
        rest = if trimmed.len() < url.len() { after } else { after_descriptors(after) };
    }
}

/// The text after the comma that ends the descriptors; commas within parentheses belong to them.
fn after_descriptors(text: &str) -> &str {
    let mut is_within = false;
    for (at, c) in text.char_indices() {
        match c {
            '(' => is_within = true,
            ')' => is_within = false,
            ',' if !is_within => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_end_at_white_space_and_keep_their_commas() {
        for (srcset, urls) in [
            ("a.png 1x, b.png 2x", vec!["a.png", "b.png"]),
            ("a.png,b.png", vec!["a.png,b.png"]),
            ("a.png, b.png", vec!["a.png", "b.png"]),
            ("/w_1,h_2/a.png 1x,\n\t b.png 640w", vec!["/w_1,h_2/a.png", "b.png"]),
            ("data:image/png;base64,x 1x, c.png", vec!["data:image/png;base64,x", "c.png"]),
            (", ,a.png calc(1,2)x , b.png ", vec!["a.png", "b.png"]),
            ("a.png,, b.png", vec!["a.png", "b.png"]),
            ("", vec![]),
            (" , ", vec![]),
        ] {
            assert_eq!(candidates(srcset), urls, "{srcset:?}");
        }
    }
}
