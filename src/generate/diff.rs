//! The first differences between two texts, for an error message. Never a patch.

/// Lines of `found` with `-` and of `wanted` with `+`, from the first difference to the last, at most `max` of each.
pub(super) fn first_differences(found: &str, wanted: &str, max: usize) -> String {
    let (found, wanted): (Vec<&str>, Vec<&str>) = (found.lines().collect(), wanted.lines().collect());
    let same_start = found.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
    let (found, wanted) = (&found[same_start..], &wanted[same_start..]);
    let same_end = found.iter().rev().zip(wanted.iter().rev()).take_while(|(a, b)| a == b).count();
    let side = |lines: &[&str], sign: char| {
        let changed = &lines[..lines.len() - same_end];
        let mut shown: Vec<String> = changed.iter().take(max).map(|line| format!("{sign}{line}")).collect();
        if changed.len() > max {
            shown.push(format!("{sign}… {} more lines", changed.len() - max));
        }
        shown
    };
    [side(found, '-'), side(wanted, '+')].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(first_differences("a\nb\nc\n", "a\nx\ny\nc\n", 9), "-b\n+x\n+y");
        assert_eq!(first_differences("a\n", "a\nb\n", 9), "+b");
        assert_eq!(first_differences("a\na\n", "a\n", 9), "-a");
    }

    #[test]
    fn a_long_difference_is_cut() {
        assert_eq!(first_differences("", "1\n2\n3\n", 1), "+1\n+… 2 more lines");
    }
}
