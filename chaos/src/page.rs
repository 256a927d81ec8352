//! The page that the figures are kept on.

use std::{io, path::Path};

/// Puts text between the markers `<!-- name -->` and `<!-- /name -->` of a page, in the place of
/// what is there.
pub fn write_between(page: &Path, name: &str, text: &str) -> io::Result<()> {
    let before = std::fs::read_to_string(page)?;
    let after = between(&before, name, text).ok_or_else(|| {
        let what = format!("{} has no place for {name}", page.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    std::fs::write(page, after)
}

fn between(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = page.find(&begin)? + begin.len();
    let stop = start + page.get(start..)?.find(&end)?;
    let (head, tail) = (page.get(..start)?, page.get(stop..)?);
    Some(format!("{head}{}\n{tail}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_markers_is_replaced_and_nothing_else() {
        let page = "# A\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        assert_eq!(
            between(page, "x", "new\n").as_deref(),
            Some("# A\n<!-- x -->\nnew\n<!-- /x -->\nb\n")
        );
        assert_eq!(between(page, "y", "new"), None);
    }
}
