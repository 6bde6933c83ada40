//! Files of `NAME=value` lines, as a shell, systemd's `EnvironmentFile=` and `docker --env-file` read them.
//!
//! The common ground of the three: one variable a line, `#` begins a comment line, no continuation, no expansion. A value in
//! quotes loses one outer pair of them, wherever it comes from: docker keeps them, the two others do not.

use std::path::Path;

use super::Problem;

/// A file of settings is no larger, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// A line that sets something.
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Reads a file; what is wrong with it is added to `problems`.
pub(crate) fn read(path: &Path, problems: &mut Vec<Problem>) -> Vec<Line> {
    match read_text(path) {
        Ok(text) => parse(&text, path, problems),
        Err(reason) => {
            let value = Some(path.display().to_string());
            problems.push(Problem::error("--env-file", value, reason, "a readable file of NAME=value lines"));
            Vec::new()
        }
    }
}

/// The text of a file of settings.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{length} bytes are too many, {FILE_BYTES_MAX} are allowed"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

pub(super) fn parse(text: &str, path: &Path, problems: &mut Vec<Problem>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let named = line.split_once('=').filter(|(name, _)| is_name(name));
        match named {
            Some((name, value)) => {
                lines.push(Line { number: index + 1, name: name.to_owned(), value: unquoted(value).to_owned() });
            }
            None => problems.push(Problem::error(
                format!("{}:{}", path.display(), index + 1),
                None,
                "not a line of this file's kind",
                "NAME=value, a comment (#) or an empty line",
            )),
        }
    }
    lines
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Without blanks around, and without one outer pair of quotes.
pub(crate) fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_three_readers_do() {
        let text =
            "# a comment\n\nA=1\r\nexport B = x\n C=' two words '\nD='{\"a\":1}'\nE=\nF=a=b\nnonsense\n1X=2\nG='\n";
        let mut problems = Vec::new();
        let lines = parse(text, Path::new("x.env"), &mut problems);
        let read: Vec<(usize, &str, &str)> =
            lines.iter().map(|line| (line.number, line.name.as_str(), line.value.as_str())).collect();
        assert_eq!(
            read,
            [
                (3, "A", "1"),
                (5, "C", " two words "),
                (6, "D", "{\"a\":1}"),
                (7, "E", ""),
                (8, "F", "a=b"),
                (11, "G", "'"),
            ]
        );
        let places: Vec<&str> = problems.iter().map(|problem| problem.setting.as_str()).collect();
        assert_eq!(places, ["x.env:4", "x.env:9", "x.env:10"], "a blank before = is no assignment in a shell");
    }

    #[test]
    fn one_outer_pair_of_quotes_goes() {
        for (text, value) in [("'a'", "a"), ("\"a\"", "a"), ("''a''", "'a'"), ("'a\"", "'a\""), ("a", "a"), ("'", "'")]
        {
            assert_eq!(unquoted(text), value, "{text}");
        }
    }
}
