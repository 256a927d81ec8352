//! Dockerfiles: what is read can be planned and expanded, and stays within bounds.
//!
//! An error names a line that there is; what expands is not longer than it may be; and the
//! same bytes are a `.dockerignore`, too. What is translated for Windows is a Dockerfile again, and
//! where nothing has changed it is the same bytes.

use oci::Platform;
use wcow::{
    context::Ignore,
    dockerfile::{Dockerfile, PlanOptions, Predefined, TargetOs},
    packages::{TranslateOptions, translate},
};

pub(crate) fn check(data: &[u8]) {
    if let Ok(ignore) = Ignore::parse(data) {
        for path in ["a", "a/b.txt", "src/bin/main.rs"] {
            let _ = ignore.matches(path);
        }
    }
    let file = match Dockerfile::parse(data, "Dockerfile") {
        Ok(file) => file,
        Err(error) => {
            let lines = data.split(|it| *it == b'\n').count();
            assert!(error.line >= 1 && error.line <= lines, "{error}");
            return;
        }
    };
    assert!(!file.stages().is_empty());
    translated(data);
    for os in [TargetOs::Windows, TargetOs::Linux] {
        let predefined = Predefined {
            target: Platform::new(os.name().to_lowercase(), "amd64"),
            build: Platform::new("linux", "amd64"),
            stage: None,
        };
        let Ok(plan) = file.plan(&PlanOptions::new(os, predefined)) else {
            continue;
        };
        for stage in plan.stages() {
            let mut scope = plan.scope(&["Path=C:\\Windows".to_owned()]);
            for step in &stage.stage.steps {
                let _ = scope.expand(step);
            }
            let held: usize = scope.environment().iter().map(|it| it.1.len()).sum();
            assert!(held <= 2 << 20);
        }
    }
}

fn translated(data: &[u8]) {
    match translate(data, "Dockerfile", &TranslateOptions::default()) {
        Ok(it) if it.changed == 0 => assert_eq!(it.text.as_bytes(), data),
        Ok(it) => {
            let read = Dockerfile::parse(it.text.as_bytes(), "translated");
            // A line that was a here-document's may be longer than one may be now.
            assert!(
                read.is_ok() || data.len() > 16 << 10,
                "{:?}: {}",
                read.err(),
                it.text
            );
        }
        Err(error) => {
            let lines = data.split(|it| *it == b'\n').count();
            let problems = error.problems().iter();
            assert!(
                problems.clone().all(|it| it.line >= 1 && it.line <= lines),
                "{error:?}"
            );
        }
    }
}
