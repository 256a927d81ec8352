//! The ways in which an instruction's text falls into words.

/// Blanks between words. A line end is none: continued lines are joined without.
fn is_blank(it: char) -> bool {
    matches!(it, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// Words between blanks, whatever is quoted.
pub(super) fn plain(text: &str) -> Vec<String> {
    let words = text.split(is_blank).filter(|it| !it.is_empty());
    words.map(str::to_owned).collect()
}

/// The first word, and what follows the blanks behind it.
pub(super) fn first(text: &str) -> (&str, &str) {
    match text.split_once(is_blank) {
        Some((first, rest)) => (first, rest.trim_start_matches(is_blank)),
        None => (text, ""),
    }
}

/// A JSON array of strings. `Err` if it is an array of something else: then it is not
/// meant as plain text either.
pub(super) fn json(text: &str) -> Result<Option<Vec<String>>, ()> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(found) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
        return Ok(None);
    };
    let strings = found.into_iter().map(|it| match it {
        serde_json::Value::String(it) => Ok(it),
        _ => Err(()),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// Words between blanks outside quotes. Quotes and escapes stay: expansion wants them.
pub(super) fn quoted(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if quote.is_none() && letter.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        if letter == escape && quote != Some('\'') {
            // At the end of the text it escapes nothing and goes.
            if let Some(next) = letters.next() {
                word.push(letter);
                word.push(next);
            }
            continue;
        }
        word.push(letter);
        match quote {
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '\'' | '"') => quote = Some(letter),
            _ => {}
        }
    }
    words.extend(word);
    words
}

/// The words at the start that begin with `--`, without quotes and escapes, and the rest.
/// A word `--` ends them and goes.
pub(super) fn flags(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (mut word, mut quote, mut end) = (String::new(), None, rest.len());
        let mut letters = rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match quote {
                None if letter.is_whitespace() => {
                    end = at;
                    break;
                }
                None if matches!(letter, '\'' | '"') => quote = Some(letter),
                Some(open) if letter == open => quote = None,
                _ if letter == escape => word.extend(letters.next().map(|it| it.1)),
                _ => word.push(letter),
            }
        }
        rest = rest[end..].trim_start();
        if word == "--" {
            break;
        }
        found.push(word);
    }
    (found, rest)
}

/// The one of `known` that looks most like `word`, if any does.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word: Vec<char> = word.chars().take(32).flat_map(char::to_lowercase).collect();
    let distances = known.iter().map(|it| {
        let letters: Vec<char> = it.chars().flat_map(char::to_lowercase).collect();
        (distance(&word, &letters), *it)
    });
    let (distance, found) = distances.min_by_key(|it| it.0)?;
    (distance <= 1.max(found.len() / 3)).then_some(found)
}

/// How many letters must be put in, taken out, changed or swapped with the next one.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let change = rows[i][j] + usize::from(a != b);
            let mut best = change.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}
