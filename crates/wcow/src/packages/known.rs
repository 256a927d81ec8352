//! What is known of packages without being told: a few well-known tools, and what has no business
//! on Windows.
//!
//! Left the name that Debian, Alpine or Fedora give a package, right the one that
//! [Chocolatey](https://docs.chocolatey.org/en-us/choco/commands/install) gives the same tool; both
//! are looked up by their exact spelling. The table is small on purpose: it has tools whose names on
//! Windows are settled, nothing is fetched, and a user's own map comes before it.

use super::note::Reason;

/// Packages, and what they are called on Windows. In order.
const CHOCO: &[(&str, &str)] = &[
    ("7zip", "7zip"),
    ("ant", "ant"),
    ("aws-cli", "awscli"),
    ("awscli", "awscli"),
    ("azure-cli", "azure-cli"),
    ("cmake", "cmake"),
    ("curl", "curl"),
    ("default-jdk", "temurin21"),
    ("default-jdk-headless", "temurin21"),
    ("default-jre", "temurin21jre"),
    ("default-jre-headless", "temurin21jre"),
    ("dos2unix", "dos2unix"),
    ("dotnet-runtime-8.0", "dotnet-8.0-runtime"),
    ("dotnet-runtime-9.0", "dotnet-9.0-runtime"),
    ("dotnet-sdk-8.0", "dotnet-8.0-sdk"),
    ("dotnet-sdk-9.0", "dotnet-9.0-sdk"),
    ("dotnet8-runtime", "dotnet-8.0-runtime"),
    ("dotnet8-sdk", "dotnet-8.0-sdk"),
    ("fd", "fd"),
    ("fd-find", "fd"),
    ("ffmpeg", "ffmpeg"),
    ("gh", "gh"),
    ("ghostscript", "ghostscript"),
    ("git", "git"),
    ("git-lfs", "git-lfs"),
    ("github-cli", "gh"),
    ("gnupg", "gnupg"),
    ("gnupg2", "gnupg"),
    ("go", "golang"),
    ("golang", "golang"),
    ("golang-go", "golang"),
    ("gradle", "gradle"),
    ("graphviz", "graphviz"),
    ("helm", "kubernetes-helm"),
    ("imagemagick", "imagemagick"),
    ("java-17-openjdk", "temurin17jre"),
    ("java-17-openjdk-devel", "temurin17"),
    ("java-17-openjdk-headless", "temurin17jre"),
    ("java-21-openjdk", "temurin21jre"),
    ("java-21-openjdk-devel", "temurin21"),
    ("java-21-openjdk-headless", "temurin21jre"),
    ("jq", "jq"),
    ("kubectl", "kubernetes-cli"),
    ("less", "less"),
    ("maven", "maven"),
    ("mercurial", "hg"),
    ("nano", "nano"),
    ("nginx", "nginx"),
    ("ninja", "ninja"),
    ("ninja-build", "ninja"),
    ("nodejs", "nodejs"),
    ("nodejs-npm", "nodejs"),
    ("npm", "nodejs"),
    ("openjdk-17-jdk", "temurin17"),
    ("openjdk-17-jdk-headless", "temurin17"),
    ("openjdk-17-jre", "temurin17jre"),
    ("openjdk-17-jre-headless", "temurin17jre"),
    ("openjdk-21-jdk", "temurin21"),
    ("openjdk-21-jdk-headless", "temurin21"),
    ("openjdk-21-jre", "temurin21jre"),
    ("openjdk-21-jre-headless", "temurin21jre"),
    ("openjdk17", "temurin17"),
    ("openjdk17-jdk", "temurin17"),
    ("openjdk17-jre", "temurin17jre"),
    ("openjdk17-jre-headless", "temurin17jre"),
    ("openjdk21", "temurin21"),
    ("openjdk21-jdk", "temurin21"),
    ("openjdk21-jre", "temurin21jre"),
    ("openjdk21-jre-headless", "temurin21jre"),
    ("openssh", "openssh"),
    ("openssh-client", "openssh"),
    ("openssh-client-default", "openssh"),
    ("openssh-clients", "openssh"),
    ("openssl", "openssl"),
    ("p7zip", "7zip"),
    ("p7zip-full", "7zip"),
    ("pandoc", "pandoc"),
    ("perl", "strawberryperl"),
    ("php", "php"),
    ("php-cli", "php"),
    ("powershell", "powershell-core"),
    ("protobuf-compiler", "protoc"),
    ("protoc", "protoc"),
    ("py3-pip", "python3"),
    ("python3", "python3"),
    ("python3-minimal", "python3"),
    ("python3-pip", "python3"),
    ("python3-venv", "python3"),
    ("ripgrep", "ripgrep"),
    ("ruby", "ruby"),
    ("ruby-full", "ruby"),
    ("shellcheck", "shellcheck"),
    ("sqlite", "sqlite"),
    ("sqlite3", "sqlite"),
    ("subversion", "svn"),
    ("terraform", "terraform"),
    ("unzip", "unzip"),
    ("vim", "vim"),
    ("vim-tiny", "vim"),
    ("wget", "wget"),
    ("yarn", "yarn"),
    ("yarnpkg", "yarn"),
    ("yq", "yq"),
    ("zip", "zip"),
];

/// Compilers for Linux and what they need: a Windows image has other ones, and finished programs are
/// better copied. In order.
const TOOLCHAIN: &[&str] = &[
    "@development-tools",
    "alpine-sdk",
    "autoconf",
    "automake",
    "binutils",
    "bison",
    "build-base",
    "build-essential",
    "ccache",
    "clang",
    "cpp",
    "crossbuild-essential-amd64",
    "crossbuild-essential-arm64",
    "debhelper",
    "dpkg-dev",
    "fakeroot",
    "flex",
    "fortify-headers",
    "g++",
    "gcc",
    "gcc-c++",
    "gdb",
    "gfortran",
    "gmake",
    "kernel-headers",
    "libgcc",
    "libgcc1",
    "libgomp",
    "libgomp1",
    "libstdc++",
    "libstdc++6",
    "libtool",
    "linux-headers",
    "lld",
    "llvm",
    "m4",
    "make",
    "musl",
    "musl-utils",
    "patchelf",
    "pkg-config",
    "pkgconf",
    "pkgconf-pkg-config",
    "pkgconfig",
    "rpm-build",
    "strace",
];

/// What ends the name of a package that compilers read.
const TOOLCHAIN_ENDS: &[&str] = &["-dev", "-devel", "-headers", "-static"];

/// What begins the name of a compiler of a certain version: `gcc-12`, `clang16`.
const TOOLCHAIN_STARTS: &[&str] = &["gcc", "g++", "clang", "llvm", "lld"];

/// What Windows has of its own, or what means something to Linux alone. In order.
const SYSTEM: &[&str] = &[
    "apt-transport-https",
    "apt-utils",
    "ca-certificates",
    "coreutils",
    "debconf-utils",
    "dialog",
    "dirmngr",
    "distro-info-data",
    "dnf-plugins-core",
    "epel-release",
    "gcompat",
    "iproute2",
    "iputils-ping",
    "libc6",
    "libc6-compat",
    "locales",
    "lsb-release",
    "musl-locales",
    "net-tools",
    "procps",
    "procps-ng",
    "shadow",
    "software-properties-common",
    "sudo",
    "tar",
    "tini",
    "tzdata",
    "util-linux",
    "which",
    "yum-utils",
];

/// What the package is called on Windows.
pub(super) fn choco(package: &str) -> Option<&'static str> {
    let found = CHOCO.iter().find(|it| it.0 == package);
    found.map(|it| it.1)
}

/// Why the package is left out, if it is.
pub(super) fn skipped(package: &str) -> Option<Reason> {
    if is_toolchain(package) {
        return Some(Reason::Toolchain);
    }
    SYSTEM.contains(&package).then_some(Reason::System)
}

fn is_toolchain(package: &str) -> bool {
    let with_version = |start: &str| {
        let rest = package.strip_prefix(start);
        let rest = rest.map(|it| it.strip_prefix('-').unwrap_or(it));
        rest.is_some_and(|it| it.starts_with(|it: char| it.is_ascii_digit()))
    };
    TOOLCHAIN.contains(&package)
        || package.starts_with("linux-headers-")
        || TOOLCHAIN_ENDS.iter().any(|it| package.ends_with(it))
        || TOOLCHAIN_STARTS.iter().any(|it| with_version(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b16_the_tables_are_in_order_and_have_each_name_once() {
        let names: Vec<&str> = CHOCO.iter().map(|it| it.0).collect();
        for names in [names.as_slice(), TOOLCHAIN, SYSTEM] {
            assert!(names.windows(2).all(|it| it[0] < it[1]), "{names:?}");
        }
        for (name, id) in CHOCO {
            assert!(super::super::map::is_id(id), "{id}");
            assert!(
                !TOOLCHAIN.contains(name) && !SYSTEM.contains(name),
                "{name}"
            );
        }
    }

    #[test]
    fn b16_compilers_are_known_by_their_names() {
        for name in [
            "gcc",
            "gcc-12",
            "g++-13",
            "clang16",
            "libssl-dev",
            "zlib-devel",
            "linux-headers-amd64",
            "linux-headers-6.1",
            "musl-dev",
            "make",
        ] {
            assert_eq!(skipped(name), Some(Reason::Toolchain), "{name}");
        }
        for name in ["git", "gccgo", "devscripts", "clangd", "makeself", "dev"] {
            assert_eq!(skipped(name), None, "{name}");
        }
        assert_eq!(skipped("ca-certificates"), Some(Reason::System));
    }
}
