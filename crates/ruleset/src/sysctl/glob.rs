//! Patterns of file names, as glob(3) has them (POSIX.1-2017, XCU 2.13).

/// Whether a pattern names this path: component by component, `*` never crosses a slash, and a leading
/// dot has to be written.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let parts = |text: &str| text.split('/').filter(|p| !p.is_empty()).map(chars).collect::<Vec<_>>();
    let (pattern, path) = (parts(pattern), parts(path));
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(pattern, name)| {
            (name.first() != Some(&'.') || pattern.first() == Some(&'.')) && component(pattern, name)
        })
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// One component. A star remembers where it stood and takes one character more when the rest does not
/// fit: at most pattern × name steps.
fn component(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, n));
            p += 1;
        } else if let Some(width) = single(&pattern[p.min(pattern.len())..], name[n]) {
            p += width;
            n += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (p, n) = (after, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many characters of the pattern stand for this one; none if they do not.
fn single(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => match bracket(pattern, c) {
            Some((fits, width)) => fits.then_some(width),
            // Never closed: an ordinary character.
            None => (c == '[').then_some(1),
        },
        '\\' if pattern.len() > 1 => (pattern[1] == c).then_some(2),
        plain => (*plain == c).then_some(1),
    }
}

/// A bracket expression: whether it holds `c`, and its width; none if it never closes.
fn bracket(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = 1 + usize::from(negated);
    let (mut at, mut found) = (first, false);
    loop {
        let low = *pattern.get(at)?;
        if low == ']' && at > first {
            return Some((found != negated, at + 1));
        }
        if low == '[' && pattern.get(at + 1) == Some(&':') {
            let end = at + 2 + pattern[at + 2..].windows(2).position(|pair| pair == [':', ']'])?;
            found |= class(&pattern[at + 2..end].iter().collect::<String>(), c);
            at = end + 2;
            continue;
        }
        let range = pattern.get(at + 1) == Some(&'-') && pattern.get(at + 2).is_some_and(|c| *c != ']');
        let high = if range { pattern[at + 2] } else { low };
        found |= (low..=high).contains(&c);
        at += if range { 3 } else { 1 };
    }
}

fn class(name: &str, c: char) -> bool {
    match name {
        "alnum" => c.is_ascii_alphanumeric(),
        "alpha" => c.is_ascii_alphabetic(),
        "digit" => c.is_ascii_digit(),
        "lower" => c.is_ascii_lowercase(),
        "upper" => c.is_ascii_uppercase(),
        "xdigit" => c.is_ascii_hexdigit(),
        "punct" => c.is_ascii_punctuation(),
        "space" => c.is_ascii_whitespace(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_the_shell_s_do() {
        let path = "net/ipv4/conf/eth0.100/rp_filter";
        for yes in [
            "net/ipv4/conf/*/rp_filter",
            "net/*/conf/eth?.100/rp_*",
            "net/ipv4/conf/[!l]*/rp_filter",
            "net/ipv4/conf/[a-f]th[[:digit:]].1*0/*",
            "net/ipv4/conf/eth0\\.100/rp_filter",
        ] {
            assert!(matches(yes, path), "{yes}");
        }
        for no in [
            "net/*/rp_filter",
            "net/ipv4/conf/*",
            "net/ipv4/conf/[^e]*/rp_filter",
            "net/ipv4/conf/[eth/rp_filter",
        ] {
            assert!(!matches(no, path), "{no}");
        }
        assert!(matches("a/[]]*/c", "a/]b/c") && matches("a/[x", "a/[x"));
        assert!(!matches("a/*", "a/.b") && matches("a/.*", "a/.b"));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[*?\\[\\]!a:/-]{0,40}", path in "[a/]{0,40}") {
            let _ = matches(&pattern, &path);
        }

        #[test]
        fn a_name_matches_itself(path in "[a-z0-9_./]{1,40}") {
            prop_assert!(matches(&path, &path));
        }
    }
}
