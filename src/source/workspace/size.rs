//! The size of a volume as Kubernetes writes it, and how much of it builds may hold.
//! Never gives out the whole of it: the kubelet ends a pod whose volume is over its limit.

use std::str::FromStr;

/// Size of a volume in bytes, parsed from a quantity such as `4Gi` or `500M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeSize(u64);

/// Not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the size of a volume: expected a whole number of bytes, or one with Ki, Mi, Gi, Ti, k, M, G or T behind it, 16Mi at least"
)]
pub struct InvalidSize(String);

const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// Below this nothing useful fits.
const LEAST: u64 = 16 << 20;

impl VolumeSize {
    /// What builds may hold together: seven eighths. The rest is for what the file system needs itself, and for files that are gone but
    /// still open for a moment.
    #[must_use]
    pub fn budget(self) -> u64 {
        self.0 / 8 * 7
    }
}

impl FromStr for VolumeSize {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.chars().take(40).collect());
        let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
        let (digits, factor) = unit.unwrap_or((text, 1));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes.filter(|bytes| *bytes >= LEAST).map(Self).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them_and_an_eighth_stays_free() {
        let budget = |text: &str| text.parse::<VolumeSize>().map(VolumeSize::budget);
        assert_eq!(budget("4Gi"), Ok(7 << 29));
        assert_eq!(budget("500M"), Ok(437_500_000));
        assert_eq!(budget("16777216"), Ok(14 << 20));
        for text in ["", "Gi", "4gi", "4.5Gi", "-1Gi", "+1Gi", "4 Gi", "1Mi", "99999999999Ti", "4Gi4Gi"] {
            assert_eq!(budget(text), Err(InvalidSize(text.into())), "{text}");
        }
    }
}
