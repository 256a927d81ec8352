//! A certificate for development: made on request, told by its fingerprint.
//!
//! Without files of its own only the certificate is written, to a place that goes away with
//! the registry; the key stays in memory. With files both are kept, the key for its owner alone.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use server::{SelfSigned, SelfSignedError, ServerBuilder, ServerError};
use tempfile::TempPath;

use crate::{error::AppError, interrupt::say};

/// A certificate for development, and where clients find it.
pub(super) struct Certificate {
    /// None where an earlier one was found.
    made: Option<SelfSigned>,
    path: PathBuf,
    /// Removes it at the end.
    _temporary: Option<TempPath>,
}

/// Makes a certificate; with files, only if neither is there yet.
pub(super) fn make(
    names: &[String],
    files: Option<(&Path, &Path)>,
) -> Result<Certificate, AppError> {
    if let Some((certificate, key)) = files {
        match (certificate.exists(), key.exists()) {
            (true, true) => {
                return Ok(Certificate {
                    made: None,
                    path: certificate.to_owned(),
                    _temporary: None,
                });
            }
            (false, false) => {}
            (true, false) => return Err(half(certificate, key)),
            (false, true) => return Err(half(key, certificate)),
        }
    }
    let made = SelfSigned::generate(names.iter().filter(|it| !it.is_empty()).cloned());
    let made = made.map_err(|error| match error {
        SelfSignedError::Name(_) => AppError::Usage(format!("--tls-self-signed: {error}")),
        error => AppError::Io {
            attempted: "make a certificate".into(),
            error: io::Error::other(error),
        },
    })?;
    let (path, temporary) = if let Some((certificate, key)) = files {
        write_new(key, made.key_pem(), true)?;
        write_new(certificate, made.certificate_pem(), false).inspect_err(|_| {
            // A key alone would stand in the way the next time.
            let _ = fs::remove_file(key);
        })?;
        (certificate.to_owned(), None)
    } else {
        let temporary = temporary(made.certificate_pem()).map_err(|error| AppError::Io {
            attempted: "write the certificate to a temporary file".into(),
            error,
        })?;
        (temporary.to_path_buf(), Some(temporary))
    };
    Ok(Certificate {
        made: Some(made),
        path,
        _temporary: temporary,
    })
}

/// Neither is made: the one that is there belongs to something.
fn half(there: &Path, missing: &Path) -> AppError {
    AppError::Usage(format!(
        "--tls-self-signed finds {} and not {}: bring that back, or remove the other so that both \
         are made anew",
        there.display(),
        missing.display()
    ))
}

fn temporary(text: &str) -> io::Result<TempPath> {
    let mut file = tempfile::Builder::new()
        .prefix("longshore-")
        .suffix(".pem")
        .tempfile()?;
    file.write_all(text.as_bytes())?;
    Ok(file.into_temp_path())
}

/// Writes a file that must not be there yet, a secret one for its owner alone.
fn write_new(path: &Path, text: &str, is_secret: bool) -> Result<(), AppError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = is_secret;
    let written = options.open(path).and_then(|mut file| {
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        written
    });
    written.map_err(|error| AppError::Io {
        attempted: format!("write {}", path.display()),
        error,
    })
}

impl Certificate {
    /// The builder with this certificate, which was made just now.
    pub(super) fn serve(&self, builder: ServerBuilder) -> Result<ServerBuilder, ServerError> {
        match &self.made {
            Some(made) => builder.tls(made.certificate_pem().as_bytes(), made.key_pem().as_bytes()),
            None => Ok(builder),
        }
    }

    /// Says how clients come to trust it.
    pub(super) fn tell(&self, port: u16) {
        if let Some(made) = &self.made {
            say(&format!("certificate SHA-256 {}", made.fingerprint()));
        }
        say(&format!(
            "clients trust it with its PEM file, for instance: longshore push --ca {} IMAGE \
             https://localhost:{port}/NAME:TAG",
            self.path.display()
        ));
    }
}
