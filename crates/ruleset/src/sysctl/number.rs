//! What the kernel takes for a number.

use super::lines::is_space;

/// The kernel looks at so many characters of a number (`TMPBUFLEN` in kernel/sysctl.c).
const LONGEST: usize = 21;

/// The first number of a value that is written to a setting of type int; none if the kernel refuses it.
///
/// `proc_get_long` in kernel/sysctl.c: decimal, `0x…` or octal, a minus but no plus, and behind it a
/// space, a tab or the line's end; what follows is ignored by a setting of one number, so
/// `1 # forward` works, and `1;` does not.
pub fn kernel_number(value: &str) -> Option<i64> {
    let text = value.trim_start_matches(is_space);
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let width = |radix, text: &str| text.chars().take_while(|c| c.is_digit(radix)).count();
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).filter(|d| width(16, d) > 0);
    let (radix, body) = match hex {
        Some(body) => (16, body),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let used = width(radix, body);
    let rest = &body[used..];
    let whole = text.len() - rest.len();
    if used == 0 || whole >= LONGEST || !(rest.is_empty() || rest.starts_with([' ', '\t', '\n'])) {
        return None;
    }
    let number = i64::from_str_radix(&body[..used], radix).ok().filter(|n| *n <= i64::from(i32::MAX))?;
    Some(sign * number)
}

/// Whether a value, once written, reads as `live`: numbers by what they mean, texts without the spaces
/// around them.
pub fn same_value(value: &str, live: &str) -> bool {
    let words =
        |text: &str| text.split(is_space).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (written, live) = (words(value), words(live));
    if written == live {
        return true;
    }
    let numbers = |words: &[String]| words.iter().map(|w| kernel_number(w)).collect::<Option<Vec<_>>>();
    match (live.as_slice(), numbers(&live)) {
        ([_], Some(live)) => kernel_number(value) == Some(live[0]),
        (_, Some(live)) => numbers(&written).is_some_and(|written| written == live),
        _ => false,
    }
}

/// Whether the kernel would refuse this value for a setting that reads `live` now.
pub(crate) fn refused(value: &str, live: &str) -> bool {
    let numeric =
        !live.is_empty() && live.split(is_space).all(|w| w.is_empty() || kernel_number(w).is_some());
    numeric && kernel_number(value).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_reads_them() {
        // Each tried with ip_forward on Linux 6.18.
        let taken = [("1", 1), (" 1", 1), ("0x1f", 31), ("010", 8), ("-1", -1), ("1 2", 1), ("1 # yes", 1)];
        for (text, number) in taken {
            assert_eq!(kernel_number(text), Some(number), "{text:?}");
        }
        for text in ["", "banana", "1x", "+1", "08", "99999999999", "\"1\"", "1\x0c", "1;", "0x", "1=2"] {
            assert_eq!(kernel_number(text), None, "{text:?}");
        }
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        assert!(same_value("0x1", "1") && same_value("1 # forward", "1") && same_value(" a  b ", "a b"));
        assert!(same_value("4096\t87380 6291456", "4096 87380 6291456"));
        assert!(!same_value("4096", "4096 87380") && !same_value("1", "0") && !same_value("b", "a"));
        assert!(refused("yes", "1") && !refused("yes", "cubic") && !refused("0", "1"));
    }
}
