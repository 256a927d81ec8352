//! A TOML file that is malformed: where, and why, without a word of what stands in it. There may be
//! passwords in settings, and the parser's own text shows the line it stumbled over.

/// Why a text is no TOML, or not the TOML that was expected.
#[derive(Debug, thiserror::Error)]
#[error("{place}{message}")]
pub(crate) struct Malformed {
    /// `line 2, column 5: `; empty where the parser does not know.
    place: String,
    message: String,
}

impl Malformed {
    /// What is wrong with `text`, of which `error` tells.
    pub(crate) fn new(text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|it| place(text, it.start));
        Self {
            place: place.unwrap_or_default(),
            message: without_values(error.message()),
        }
    }
}

fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    format!("line {line}, column {column}: ")
}

/// The message without the value that has the wrong type: `string "…", expected a map`.
fn without_values(message: &str) -> String {
    let value = message
        .find("string \"")
        .map(|at| at + "string \"".len())
        .zip(message.rfind("\", expected"));
    match value {
        Some((start, end)) if start <= end => {
            format!("{}…{}", &message[..start], &message[end..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn malformed(text: &str) -> String {
        let error = toml::from_str::<BTreeMap<String, BTreeMap<String, bool>>>(text).unwrap_err();
        let error = Malformed::new(text, &error);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        error.to_string()
    }

    #[test]
    fn it_tells_where_and_why_and_no_value() {
        let cases = [
            ("[a]\nb = \"http://me:canary@p\n", "line 2, column 24: "),
            ("[a]\nb = 'canary", "line 2, column 12: "),
            ("[a]\nb = canary\n", "line 2, column 5: "),
            ("[a]\nb \"canary\"\n", "line 2, column "),
            ("[a]\nb = true canary\n", "line 2, column "),
        ];
        for (text, start) in cases {
            let told = malformed(text);
            assert!(told.starts_with(start), "{told}");
            assert!(!told.contains("canary"), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
        let wrong = "line 2, column 5: invalid type: string \"…\", expected a boolean";
        assert_eq!(malformed("[a]\nb = \"canary\"\n"), wrong);
        assert_eq!(malformed("[a]\nb = 'can\"ary\", expected'\n"), wrong);
    }
}
