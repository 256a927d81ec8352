//! Flags for who may do what: users, rules, tokens and TLS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use server::{Auth, Bearer, Rules, ServerBuilder, Users};

use super::certificate::{self, Certificate};
use crate::{error::AppError, settings::duration, warning::warn};

/// Clients take a token for good for at least so long, whatever they are told.
const MIN_TOKEN_LIFETIME: Duration = Duration::from_mins(1);

/// Flags for who may do what.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Ask for a user name and password of this htpasswd file; only bcrypt, as `htpasswd -B`
    /// writes it
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,

    /// What each user may do in which repository, as TOML; without it every user may do everything
    #[arg(long, value_name = "FILE", conflicts_with = "anonymous_pull")]
    access: Option<PathBuf>,

    /// Let everybody pull, without credentials; nobody but users can push then
    #[arg(long)]
    anonymous_pull: bool,

    /// Ask for tokens of the registry's own token service, so that passwords go there only;
    /// implied where something may be done without credentials
    #[arg(long, requires = "htpasswd")]
    token: bool,

    /// How long a token is good for
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m", hide_short_help = true)]
    token_lifetime: Duration,

    /// How clients reach the registry if not as it listens, for instance through a proxy
    #[arg(long, value_name = "URL", hide_short_help = true)]
    public_url: Option<String>,

    /// Speak TLS with this certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Speak TLS with a certificate made for the occasion, for localhost and these names; kept in
    /// the files of --tls-cert and --tls-key if they are given, and used again
    #[arg(
        long,
        value_name = "NAME,…",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "localhost"
    )]
    tls_self_signed: Option<Vec<String>>,

    /// Ask for credentials without TLS on an address that other machines reach, for instance
    /// behind a proxy that speaks TLS
    #[arg(long, hide_short_help = true)]
    allow_insecure_credentials: bool,
}

/// What has to be told once the registry runs, and what has to live as long.
pub(super) struct Access {
    certificate: Option<Certificate>,
}

impl AccessArgs {
    /// The builder with these settings.
    ///
    /// Fails where a file cannot be read or used, and where flags contradict each other.
    pub(super) fn apply(
        &self,
        mut builder: ServerBuilder,
    ) -> Result<(ServerBuilder, Access), AppError> {
        if self.token_lifetime < MIN_TOKEN_LIFETIME {
            return Err(AppError::Usage(
                "--token-lifetime is under a minute, which clients do not expect: give 1m or more"
                    .into(),
            ));
        }
        let (users, rules) = self.read()?;
        if let Some(rules) = rules {
            let serves_anonymous = rules.serve_anonymous();
            builder = builder.rules(rules);
            builder = self.ask(builder, users, serves_anonymous);
        } else {
            builder = self.ask(builder, users, false);
        }
        if let Some(url) = &self.public_url {
            builder = builder.public_url(url).map_err(AppError::Serve)?;
        }
        builder = builder.allow_clear_text(self.allow_insecure_credentials);
        let (builder, certificate) = self.secure(builder)?;
        Ok((builder, Access { certificate }))
    }

    /// The files that say who may do what.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.htpasswd, &self.access]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// The users and the rules, as far as flags say that there are some.
    ///
    /// Fails where a file cannot be read or used, and where there are rules for users and no users.
    pub(super) fn read(&self) -> Result<(Option<Users>, Option<Rules>), AppError> {
        let users = match &self.htpasswd {
            Some(path) => {
                warn_if_open(path, "the users");
                Some(Users::htpasswd(path).map_err(AppError::Users)?)
            }
            None => None,
        };
        let rules = self.rules(users.as_ref())?;
        Ok((users, rules))
    }

    /// How users say who they are. Docker sends no request at all without credentials to a
    /// registry that asks for Basic, so where some of it is open to everybody it is tokens.
    fn ask(
        &self,
        builder: ServerBuilder,
        users: Option<Users>,
        serves_anonymous: bool,
    ) -> ServerBuilder {
        match users {
            None => builder,
            Some(users) if self.token || serves_anonymous => {
                let bearer = Bearer::new().users(users).valid_for(self.token_lifetime);
                builder.auth(Auth::Bearer(bearer))
            }
            Some(users) => builder.auth(Auth::Basic(users)),
        }
    }

    fn rules(&self, users: Option<&Users>) -> Result<Option<Rules>, AppError> {
        if self.anonymous_pull {
            let rules = match users {
                Some(_) => Rules::open_to_users(),
                None => Rules::new(),
            };
            return Ok(Some(rules.anonymous_pull()));
        }
        let Some(path) = &self.access else {
            return Ok(None);
        };
        let rules = Rules::read(path).map_err(AppError::Rules)?;
        let unknown: Vec<&str> = match users {
            Some(users) => rules.users().filter(|it| !users.has(it)).collect(),
            None => rules.users().collect(),
        };
        if users.is_none() && (rules.serve_users() || !unknown.is_empty()) {
            return Err(AppError::Usage(format!(
                "{} is for users, and nobody can log in: add --htpasswd FILE",
                path.display()
            )));
        }
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            let path = path.display();
            warn(format_args!(
                "{path} names users who cannot log in: {unknown}"
            ));
        }
        Ok(Some(rules))
    }

    fn secure(
        &self,
        builder: ServerBuilder,
    ) -> Result<(ServerBuilder, Option<Certificate>), AppError> {
        let files = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        let made = match &self.tls_self_signed {
            Some(names) => Some(certificate::make(names, files)?),
            None => None,
        };
        let builder = match (&made, files) {
            (_, Some((certificate, key))) => {
                warn_if_open(key, "the private key");
                builder.tls_files(certificate, key)
            }
            (Some(made), None) => made.serve(builder),
            (None, None) => return Ok((builder, None)),
        };
        Ok((builder.map_err(AppError::Serve)?, made))
    }
}

impl Access {
    /// Says what clients have to be told.
    pub(super) fn tell(&self, port: u16) {
        if let Some(certificate) = &self.certificate {
            certificate.tell(port);
        }
    }
}

/// Says so if every user of this machine may read or write a file of secrets.
fn warn_if_open(path: &Path, what: &str) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map(|it| it.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o006 != 0) {
            let path = path.display();
            warn(format_args!(
                "every user of this machine can read {what} at {path}: chmod o-rw {path}"
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, what);
}
