//! Files that people write: Docker's `config.json` and the server's faults file.
//!
//! Whatever stands in one is read or refused with a place in the file; a faults file
//! that is read prints as one that says the same.

use oci::Registry;
use registry::{DockerConfig, DockerConfigError};
use server::{FaultsFile, FaultsFileError};

pub(crate) fn check(data: &[u8]) {
    docker_config(data);
    if let Ok(text) = std::str::from_utf8(data) {
        faults(text);
    }
}

fn faults(text: &str) {
    match text.parse::<FaultsFile>() {
        Ok(file) => {
            let printed = file.to_string();
            let again = printed.parse::<FaultsFile>();
            assert_eq!(again.ok().as_ref(), Some(&file), "{printed}");
            assert!(file.faults().count() >= file.rules().len());
        }
        Err(FaultsFileError::Malformed {
            line,
            column,
            message,
        }) => {
            // Lines end with a newline, columns count characters: both lie in the file.
            let at = text.split('\n').nth(line - 1).expect("the line");
            assert!(
                (1..=at.chars().count() + 1).contains(&column),
                "{line}:{column} {message}"
            );
            assert!(!message.is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn docker_config(data: &[u8]) {
    let config = match DockerConfig::from_slice(data) {
        Ok(config) => config,
        Err(DockerConfigError::Malformed { line, .. }) => {
            let lines = data.split(|&b| b == b'\n').count();
            return assert!(line <= lines, "line {line} of {lines}");
        }
        Err(_) => return,
    };
    for name in ["docker.io", "registry.example", "localhost:5000"] {
        let Ok(registry) = name.parse::<Registry>() else {
            continue;
        };
        let repository = registry.repository("team/app").ok();
        // Secrets are never shown, whatever the file looks like.
        let found = config.credentials(&registry, repository.as_ref());
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
