//! Bytes to lines: the modem sends them in any chunks, with NULs, and sometimes without an end.

/// The longest line kept. 3GPP TS 27.005 and 27.007 answers stay below 1,100 characters (a `+CSIM`
/// answer with 256 bytes of data has about 530); a longer one is noise.
const LONGEST: usize = 2048;

/// Gathers bytes into lines; empty lines are skipped, a line over the limit is dropped whole.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Takes one byte; gives the line it ended, if any.
    pub(crate) fn push(&mut self, byte: u8) -> Option<String> {
        match byte {
            b'\r' | b'\n' => self.end(),
            // Sticks send NULs when their port is opened; inside a line they are left in, so that
            // a damaged line cannot become a good one.
            0 if self.line.is_empty() => None,
            _ => {
                if self.line.len() < LONGEST {
                    self.line.push(byte);
                } else {
                    self.too_long = true;
                }
                None
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn end(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let too_long = std::mem::take(&mut self.too_long);
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        (!too_long && !text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::default();
        bytes.iter().filter_map(|byte| lines.push(*byte)).collect()
    }

    #[test]
    fn drops_leading_nuls_and_empty_lines() {
        assert_eq!(lines(b"\0\0\r\nOK\r\n\r\n+CSQ: 7,99\r\n"), ["OK", "+CSQ: 7,99"]);
    }

    #[test]
    fn a_line_without_end_is_dropped_whole() {
        let mut bytes = vec![b'x'; 5000];
        bytes.extend_from_slice(b"OK\r\nERROR\r\n");
        assert_eq!(lines(&bytes), ["ERROR"]);
    }
}
