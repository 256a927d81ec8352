//! The corpus of the fuzz targets, through the same checks: what was ever found, or
//! thought of, is tried in every test run.

use std::{fs, path::Path};

#[cfg(test)]
#[path = "../../fuzz/checks/challenges.rs"]
mod challenges;
#[cfg(test)]
#[path = "../../fuzz/checks/dockerfiles.rs"]
mod dockerfiles;
#[cfg(test)]
#[path = "../../fuzz/checks/documents.rs"]
mod documents;
#[cfg(test)]
#[path = "../../fuzz/checks/files.rs"]
mod files;
#[cfg(test)]
#[path = "../../fuzz/checks/layers.rs"]
mod layers;
#[cfg(test)]
#[path = "../../fuzz/checks/names.rs"]
mod names;
#[cfg(test)]
#[path = "../../fuzz/checks/ranges.rs"]
mod ranges;
#[cfg(test)]
#[path = "../../fuzz/checks/requests.rs"]
mod requests;

/// What has to hold of an input.
type Check = fn(&[u8]);

/// Every target, by the name of its corpus.
const TARGETS: [(&str, Check); 8] = [
    ("challenges", challenges::check),
    ("dockerfiles", dockerfiles::check),
    ("documents", documents::check),
    ("files", files::check),
    ("layers", layers::check),
    ("names", names::check),
    ("ranges", ranges::check),
    ("requests", requests::check),
];

#[test]
fn what_the_fuzz_targets_were_given_holds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    for (target, check) in TARGETS {
        let inputs = fs::read_dir(fuzz.join("corpus").join(target)).unwrap();
        let mut tried = 0;
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
            tried += 1;
        }
        assert!(tried >= 5, "{target} has {tried} inputs only");
    }
    // A corpus without a target here would be tried by nobody.
    let corpora = fs::read_dir(fuzz.join("corpus")).unwrap().count();
    let built = fs::read_dir(fuzz.join("targets")).unwrap().count();
    assert_eq!((corpora, built), (TARGETS.len(), TARGETS.len()));
}
