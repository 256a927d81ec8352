//! Schemes and parameters out of a header value.
//!
//! A superset of the grammar of [RFC 7235](https://www.rfc-editor.org/rfc/rfc7235#section-2.1):
//! what registries send that it does not allow is read where it can only mean one thing. A word that
//! is followed by `=` is a parameter, any other begins the next challenge.

/// A challenge, not yet understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Parsed {
    /// The value of a parameter; of several the first.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let same = |(key, _): &(String, String)| key.eq_ignore_ascii_case(name);
        let at = self.parameters.iter().position(same)?;
        Some(self.parameters.swap_remove(at).1)
    }
}

/// The challenges of a header value; what is wrong with it if there is none, or where it is
/// damaged.
pub(super) fn parse(header: &str) -> Result<Vec<Parsed>, &'static str> {
    if header.contains(|c: char| c.is_control() && c != '\t') {
        return Err("it has a control character in it");
    }
    let mut rest = after_separators(header);
    let mut challenges: Vec<Parsed> = Vec::new();
    while !rest.is_empty() {
        let (word, after) = word(rest).ok_or("a scheme was expected")?;
        if let Some(value) = equals(after) {
            let challenge = challenges.last_mut().ok_or("it begins with a parameter")?;
            let (value, after) = self::value(value)?;
            challenge.parameters.push((word.to_owned(), value));
            rest = after_separators(after);
        } else {
            challenges.push(Parsed {
                scheme: word.to_owned(),
                parameters: Vec::new(),
            });
            rest = after_separators(after_token(after));
        }
    }
    if challenges.is_empty() {
        return Err("it is empty");
    }
    Ok(challenges)
}

/// What follows white space and separators; a semicolon is meant as one.
fn after_separators(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', ',', ';'])
}

/// The token that `text` begins with.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What follows an equals sign, if `text` begins with one.
fn equals(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    Some(rest.trim_start_matches([' ', '\t']))
}

/// A parameter's value, in quotes or not.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = text.find([' ', '\t', ',', ';']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c if c == quote => return Ok((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    Err("a quoted value does not end")
}

/// What follows the token (`token68`) that may stand after a scheme in place of parameters: all up
/// to the next comma, unless it is a parameter or a scheme.
fn after_token(text: &str) -> &str {
    let token = text.trim_start_matches([' ', '\t']);
    if token.len() == text.len() {
        return text;
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let body = token.trim_start_matches(is_token);
    let end = body.trim_start_matches('=');
    let ends_here = end.is_empty() || end.starts_with([',', ' ', '\t']);
    let is_parameter = body.len() < token.len() && body.len() - end.len() == 1 && {
        // `name= value`, and not `token=`.
        let value = end.trim_start_matches([' ', '\t']);
        value.len() < end.len() && !value.is_empty() && !value.starts_with(',')
    };
    let is_spaced =
        body.trim_start_matches([' ', '\t']).starts_with('=') && body.starts_with([' ', '\t']);
    if ends_here && !is_parameter && !is_spaced {
        end
    } else {
        text
    }
}
