//! Which characters beyond ASCII a name may have: what a reader of a log, a page or a listing cannot see, or sees in another order than it is
//! stored, makes two names look like one.
//! Never refuses what scripts and emoji need: joiners and variation selectors, behind the character that they belong to.
//!
//! Names that only Windows cannot hold (`aux.js`, `name.`) are taken: nothing of ours runs there, and object keys and URLs hold them.

use crate::source::PathProblem;

/// Checks a name that is not all ASCII.
pub(super) fn check(name: &str) -> Result<(), PathProblem> {
    let mut before = None;
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            _ if character.is_control() => return Err(PathProblem::Control),
            '\u{fffd}' => return Err(PathProblem::Damaged(character)),
            _ if is_noncharacter(character) => return Err(PathProblem::Damaged(character)),
            _ if is_joiner(character) => {
                // Behind a digit only as part of a keycap: 1, U+FE0F, U+20E3.
                let keycap = before.is_some_and(|before: char| before.is_ascii_digit() || matches!(before, '#' | '*'))
                    && characters.peek() == Some(&'\u{20e3}');
                if !keycap && before.is_none_or(|before: char| before.is_ascii()) {
                    return Err(PathProblem::Invisible(character));
                }
            }
            _ if is_invisible(character) => return Err(PathProblem::Invisible(character)),
            _ => {}
        }
        before = Some(character);
    }
    Ok(())
}

/// Belongs to the character before it: zero width (non-)joiner, as in Persian and in emoji of several parts, and variation selectors.
pub(super) fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// The rest of Unicode's `Default_Ignorable_Code_Point`, the controls of direction, line and paragraph separators, and the marks of
/// annotations.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

/// What Unicode keeps for programs' own use; XML, and so a listing of S3, cannot hold all of them.
fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}
