//! What is said of hosts, and where: for showing it. No secrets.

use std::path::{Path, PathBuf};

use oci::Registry;

use super::{ConnectionArgs, file::RegistryFile};
use crate::host_files::HostDirectory;

/// One thing that is said of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// None: of every host.
    pub(crate) registry: Option<Registry>,
    pub(crate) point: Point,
    /// Where it is said: a file, or a flag.
    pub(crate) place: String,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Trusted by the certificates in this file.
    Authority(PathBuf),
    /// Shown the certificate in this file.
    Certificate(PathBuf),
    /// Its certificate is not checked.
    Unchecked,
    /// Spoken to without TLS.
    PlainHttp,
    /// Has a proxy of its own, or none.
    Proxy,
}

/// What the settings file says of a registry.
pub(super) fn by_file(path: &Path, registry: &Registry, it: &RegistryFile) -> Vec<Told> {
    let points = [
        it.ca.clone().map(Point::Authority),
        it.cert.clone().map(Point::Certificate),
        it.insecure_skip_tls_verify.then_some(Point::Unchecked),
        it.plain_http.then_some(Point::PlainHttp),
        it.proxy.as_ref().map(|_| Point::Proxy),
    ];
    let place = path.display().to_string();
    told(Some(registry), &place, points.into_iter().flatten())
}

/// What the flags say of the destination's registry.
pub(super) fn by_flags(args: &ConnectionArgs, destination: &Registry) -> Vec<Told> {
    let every = args.ca.clone().map(Point::Authority);
    let own = [
        (args.cert.clone().map(Point::Certificate), "--cert"),
        (
            args.insecure_skip_tls_verify.then_some(Point::Unchecked),
            "--insecure-skip-tls-verify",
        ),
        (args.plain_http.then_some(Point::PlainHttp), "--plain-http"),
    ];
    let own = own
        .into_iter()
        .flat_map(|(point, flag)| told(Some(destination), flag, point));
    told(None, "--ca", every).into_iter().chain(own).collect()
}

/// What a directory of certificates says of its host.
pub(super) fn by_directory(it: &HostDirectory) -> Vec<Told> {
    let authorities = it.files.authorities.iter().cloned().map(Point::Authority);
    let certificates = it
        .files
        .certificates
        .iter()
        .cloned()
        .map(Point::Certificate);
    let place = it.path.display().to_string();
    told(Some(&it.host), &place, authorities.chain(certificates))
}

fn told(
    registry: Option<&Registry>,
    place: &str,
    points: impl IntoIterator<Item = Point>,
) -> Vec<Told> {
    let one = |point| Told {
        registry: registry.cloned(),
        point,
        place: place.to_owned(),
    };
    points.into_iter().map(one).collect()
}
