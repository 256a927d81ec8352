//! What a `RUN` runs. Read only where it is to be run: elsewhere it may be as it likes.

use super::{Command, DockerfileErrorKind as Kind, NotSupported, lines, words};

/// The command of a `RUN`, as it is written: a list, or a text for the shell.
///
/// [Flags](https://docs.docker.com/reference/dockerfile/#run) are of `BuildKit`'s own mounts and
/// networks, and here-documents are a shell's that Windows has not got.
pub(super) fn command(text: &str, escape: char) -> Result<Command, Kind> {
    let (flags, rest) = words::flags(text, escape);
    let rest = rest.trim();
    let with = |what: &str| Kind::NotSupported(NotSupported::RunWith(what.to_owned()));
    if let Some(flag) = flags.first() {
        return Err(with(flag));
    }
    if lines::has_heredocs(rest) {
        return Err(with("a here-document"));
    }
    let malformed = |problem: &str| Kind::Malformed {
        instruction: "RUN",
        problem: problem.to_owned(),
    };
    match words::json(rest) {
        Err(()) => Err(malformed(
            "takes an array of strings: quote each element with \"",
        )),
        Ok(Some(list)) if list.is_empty() => Err(malformed("needs a command")),
        Ok(None) if rest.is_empty() => Err(malformed("needs a command")),
        Ok(Some(list)) => Ok(Command::Exec(list)),
        Ok(None) => Ok(Command::Shell(rest.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_list_or_a_text_as_it_is_written() {
        let exec = Command::Exec(vec!["a.exe".to_owned(), "-v".to_owned()]);
        assert_eq!(command(r#" ["a.exe", "-v"]"#, '`').unwrap(), exec);
        for text in [r#"copy "C:\a b" C:\c"#, "echo $X %X%", "[ -f a ]"] {
            assert_eq!(
                command(text, '`').unwrap(),
                Command::Shell(text.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_runner_follows_is_said() {
        for (text, expected) in [
            (
                "--mount=type=cache,target=/x a",
                "--mount=type=cache,target=/x",
            ),
            ("--network=none a", "--network=none"),
            ("<<EOF", "a here-document"),
            ("cat <<\"EOF\" > x", "a here-document"),
        ] {
            let error = command(text, '`').unwrap_err();
            assert!(
                matches!(&error, Kind::NotSupported(NotSupported::RunWith(it)) if it == expected),
                "{error}"
            );
        }
        for text in ["", "  ", "[]"] {
            let error = command(text, '`').unwrap_err();
            assert!(matches!(error, Kind::Malformed { .. }), "{text}: {error}");
        }
    }
}
