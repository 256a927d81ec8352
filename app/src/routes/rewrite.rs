//! Rewriting of repositories' paths: rules in their order, from the beginning of a path and by its
//! whole parts. The first that fits is the only one.

use super::name::{Name, below, joined};
use crate::settings::Rewrite;

/// The name as the first rule that fits has it; as it is, if none does.
pub(super) fn rewritten(name: &Name, rules: &[Rewrite]) -> Result<Name, String> {
    let Some(path) = &name.path else {
        return Ok(name.clone());
    };
    for rule in rules {
        let (from, to) = (
            rule.from.trim_end_matches('/'),
            rule.to.trim_end_matches('/'),
        );
        if let Some(rest) = below(path, from) {
            let path = joined(to, rest);
            if path.is_empty() {
                return Err(format!("{name} has no name left"));
            }
            return Ok(name.with_path(&path));
        }
    }
    Ok(name.clone())
}
