//! The list of kernel modules to load, made by bake in loading order.

use std::collections::BTreeSet;

/// Where bake puts the list.
pub const LIST: &str = "/etc/failberry/early-modules";

/// The modules of a list: absolute paths, in order, each once; blank lines and `#` comments are skipped.
///
/// # Errors
/// The line that is not an absolute path.
pub fn parse(list: &str) -> Result<Vec<&str>, String> {
    let mut seen = BTreeSet::new();
    let mut modules = Vec::new();
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !line.starts_with('/') {
            return Err(line.to_owned());
        }
        if seen.insert(line) {
            modules.push(line);
        }
    }
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_loads_nothing_twice() {
        let list = "# needs first\n/m/crc16.ko\n\n/m/ext4.ko\n /m/crc16.ko \n";
        assert_eq!(parse(list), Ok(vec!["/m/crc16.ko", "/m/ext4.ko"]));
    }

    #[test]
    fn a_line_that_is_no_path_is_named() {
        assert_eq!(parse("/m/a.ko\next4\n"), Err("ext4".to_owned()));
    }
}
