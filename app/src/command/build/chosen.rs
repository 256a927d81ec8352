//! What the command line chooses, as the assembler takes it.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use oci::Platform;
use wcow::{
    AssembleOptions, CompressionFormat, Copier, CopyFailure, CopyJob, LayerTree, NameRules,
    OsVersion, Owner, Release, Timestamps,
    context::{Context, ContextOptions, SymlinkPolicy},
    copy::{CopyOptions, Copying, Fetch},
    dockerfile::{Dockerfile, MAX_FILE_BYTES, TargetOs},
    os_version::Chosen,
};

use super::{BuildArgs, Layers, Names, Owners, Symlinks, WhatArgs};
use crate::{env::Environment, error::AppError, timestamp};

/// What `--os-version` says: a version, or `none`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SaidVersion(Option<OsVersion>);

impl FromStr for SaidVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "none" => Ok(Self(None)),
            Ok(version) => Ok(Self(Some(version))),
            Err(error) => Err(format!("{error}, or none")),
        }
    }
}

/// Each platform, those of Windows in each release.
pub(super) fn releases(what: &WhatArgs) -> Vec<Release> {
    let mut releases = Vec::new();
    for platform in &what.platforms {
        let of = |base_version: Option<&String>| Release {
            platform: platform.clone(),
            base_version: base_version.cloned(),
        };
        if platform.os == "windows" && !what.base_versions.is_empty() {
            releases.extend(what.base_versions.iter().map(|it| of(Some(it))));
        } else {
            releases.push(of(None));
        }
    }
    releases
}

/// The Dockerfile, read.
pub(super) fn dockerfile(args: &BuildArgs) -> Result<Dockerfile, AppError> {
    let path = dockerfile_path(args);
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => AppError::NoFile(path.clone()),
        _ => AppError::Dockerfile {
            name: name.clone(),
            error,
        },
    };
    let file = File::open(&path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than there may be tells the parser.
    let limited = file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes);
    limited.map_err(unreadable)?;
    let parsed = Dockerfile::parse(&bytes, &name);
    parsed.map_err(|error| AppError::Build(error.into()))
}

/// Where the Dockerfile is.
pub(super) fn dockerfile_path(args: &BuildArgs) -> PathBuf {
    let default = || args.context.join("Dockerfile");
    args.file.clone().unwrap_or_else(default)
}

/// How images are assembled; layers go to `spool`.
pub(super) fn options(
    args: &BuildArgs,
    environment: &Environment,
    spool: &Path,
) -> Result<AssembleOptions, AppError> {
    let mut options = AssembleOptions::new(spool.to_owned());
    let (what, windows) = (&args.what, &args.windows);
    options.target.clone_from(&what.target);
    for text in &what.build_args {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(AppError::Usage(format!(
                "--build-arg {text:?} sets nothing: write NAME=VALUE"
            )));
        };
        options.arguments.set(name, value);
    }
    (options.timestamps, options.created) = times(what, environment)?;
    // Those are as reproducible as the layer that they are in: only who says otherwise changes them.
    let is_said = what.timestamp.as_deref().is_some_and(|it| it != "source");
    options.keeps_image_times = !is_said && environment.source_date_epoch.is_none();
    options.fetches_layers = args.allow_base_download;
    options.build_platform = build_platform(std::env::consts::OS, std::env::consts::ARCH);
    options.oci = what.oci;
    options.squash = what.squash_new;
    options.compression = match what.compression {
        Layers::Gzip => CompressionFormat::Gzip,
        Layers::Zstd => CompressionFormat::Zstd,
        Layers::None => CompressionFormat::None,
    };
    options.threads = what.compression_threads;
    options.names = match windows.windows_names {
        Names::Error => NameRules::Strict,
        Names::Warn => NameRules::Warn,
    };
    options.owner = match windows.windows_owner {
        Owners::Administrators => Owner::Default,
        Owners::ContainerUser => Owner::ContainerUser,
        Owners::ContainerAdministrator => Owner::ContainerAdministrator,
    };
    options.path_default = windows.windows_path_default;
    options.os_version = windows.os_version.map(|SaidVersion(version)| Chosen {
        version,
        forced: windows.force_os_version,
    });
    for rule in &what.map_from {
        let added = options.from_map.add(rule);
        added.map_err(|error| AppError::Usage(format!("--map-from: {error}")))?;
    }
    Ok(options)
}

/// The platform whose images run where the build does, by Rust's names of system and processor.
fn build_platform(os: &str, architecture: &str) -> Platform {
    let os = match os {
        // Containers run in a Linux of their own there.
        "macos" => "linux",
        other => other,
    };
    let architecture = match architecture {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        other => other,
    };
    Platform::new(os, architecture)
}

/// The times of files, and of the image.
fn times(what: &WhatArgs, environment: &Environment) -> Result<(Timestamps, String), AppError> {
    let epoch = environment.source_date_epoch.as_deref();
    let seconds = |text: &str, name: &str| {
        let seconds = text.parse::<u64>().ok();
        let created = seconds.and_then(|_| timestamp::parse(text).ok());
        seconds.zip(created).ok_or_else(|| {
            AppError::Usage(format!(
                "{name} is {text:?}: expected seconds since 1970, before the year 10000"
            ))
        })
    };
    let epoch = epoch
        .map(|it| seconds(it, "SOURCE_DATE_EPOCH"))
        .transpose()?;
    match (what.timestamp.as_deref(), epoch) {
        (Some("source"), None) => Ok((Timestamps::Source, start()?.1)),
        (Some("source"), Some((epoch, created))) => Ok((Timestamps::Clamp(epoch), created)),
        (Some(text), _) => {
            let (epoch, created) = seconds(text, "--timestamp")?;
            Ok((Timestamps::Fixed(epoch), created))
        }
        (None, Some((epoch, created))) => Ok((Timestamps::Fixed(epoch), created)),
        (None, None) => {
            let (epoch, created) = start()?;
            Ok((Timestamps::Fixed(epoch), created))
        }
    }
}

/// The beginning of 1970.
fn start() -> Result<(u64, String), AppError> {
    Ok((0, timestamp::parse("0").map_err(AppError::Usage)?))
}

/// How files are copied; what is unpacked waits in `spool`.
pub(super) fn copier(
    args: &BuildArgs,
    spool: &Path,
    fetch: Option<Arc<dyn Fetch>>,
) -> Result<Arc<dyn Copier>, AppError> {
    let windows = match args.windows.windows_symlinks {
        Symlinks::Follow => SymlinkPolicy::Follow,
        Symlinks::Preserve => SymlinkPolicy::PreserveRelative,
        Symlinks::Error => SymlinkPolicy::Refuse,
    };
    Ok(Arc::new(ByOs {
        windows: copying(args, spool, fetch.clone(), windows)?,
        linux: copying(args, spool, fetch, SymlinkPolicy::Preserve)?,
    }))
}

fn copying(
    args: &BuildArgs,
    spool: &Path,
    fetch: Option<Arc<dyn Fetch>>,
    symlinks: SymlinkPolicy,
) -> Result<Copying, AppError> {
    let mut options = ContextOptions::default();
    options.dockerfile = Some(dockerfile_path(args));
    options.symlinks = symlinks;
    let context = Context::open(&args.context, &options)?;
    let mut options = CopyOptions::new(symlinks);
    options.strict = args.what.strict;
    options.allows_empty_wildcard = args.what.allow_empty_wildcard;
    options.spool = Some(spool.to_owned());
    let copying = Copying::new(context, options);
    Ok(match fetch {
        Some(fetch) => copying.with_fetch(fetch),
        None => copying,
    })
}

/// Links are Linux's own, and stay as they are there; what Windows makes of them was asked.
#[derive(Debug)]
struct ByOs {
    windows: Copying,
    linux: Copying,
}

impl Copier for ByOs {
    fn copy(&self, job: &CopyJob<'_>, tree: &mut LayerTree) -> Result<Vec<String>, CopyFailure> {
        match job.os {
            TargetOs::Windows => self.windows.copy(job, tree),
            TargetOs::Linux => self.linux.copy(job, tree),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_of_the_build_is_one_that_images_are_made_for() {
        for (os, architecture, expected) in [
            ("linux", "x86_64", "linux/amd64"),
            ("macos", "aarch64", "linux/arm64"),
            ("macos", "x86_64", "linux/amd64"),
            ("windows", "x86_64", "windows/amd64"),
            ("linux", "x86", "linux/386"),
            ("linux", "riscv64", "linux/riscv64"),
        ] {
            let platform = build_platform(os, architecture);
            assert_eq!(platform.to_string(), expected, "{os} {architecture}");
        }
    }
}
