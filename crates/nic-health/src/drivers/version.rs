//! Versions as drivers and kernels write them, compared by their numbers.

/// The numbers a version begins with; what follows (`-k`, `-rpi-v8`, `+rpt`, `~14.04`) does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(Vec<u32>);

/// More numbers than any version has.
const PARTS: usize = 8;

impl Release {
    /// Reads the numbers at the beginning; none if there are none. `v2.1` and `2.1` are the same.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut parts = Vec::new();
        for word in text.split('.').take(PARTS) {
            let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let Ok(number) = word[..digits].parse() else { break };
            parts.push(number);
            if digits < word.len() {
                break;
            }
        }
        // 2.14 and 2.14.0 are one version.
        while parts.len() > 1 && parts.last() == Some(&0) {
            parts.pop();
        }
        (!parts.is_empty()).then_some(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn release(text: &str) -> Release {
        Release::parse(text).unwrap()
    }

    #[test]
    fn numbers_count_and_what_follows_them_does_not() {
        assert!(release("2.11.3-k") < release("2.14.2"));
        assert!(release("2.14.2") <= release("2.14.2-k") && release("2.14.2-k") <= release("2.14.2"));
        assert!(release("2.9") < release("2.14") && release("6.18.5+rpt-rpi-v8") < release("6.18.33"));
        assert_eq!(release("v2.14"), release("2.14.0"));
        assert_eq!(Release::parse("1.0.0.z"), Some(release("1.0.0")));
        assert_eq!(Release::parse("N/A"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = Release::parse(&text);
        }
    }
}
