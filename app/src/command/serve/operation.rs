//! Flags for those who keep a registry running: logs, metrics, bounds, stopping.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use server::{AccessLog, AccessLogFormat, Limits, RunningServer, ServerBuilder, Warning};

use super::{reload::Reload, service_manager};
use crate::{
    error::AppError,
    interrupt::{self, Signals},
    settings::duration,
};

/// Flags for those who keep a registry running.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Operation")]
pub(crate) struct OperationArgs {
    /// Where every request is logged, a line each: `stderr`, `-` for standard output, `off`, or a
    /// file that is appended to
    #[arg(long, value_name = "FILE", default_value = "stderr")]
    access_log: PathBuf,

    /// How a line of the access log is written
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_short_help = true
    )]
    access_log_format: Format,

    /// Answer 404 at /metrics
    #[arg(long, hide_short_help = true)]
    no_metrics: bool,

    /// Show no page to browsers at /
    #[arg(long, hide_short_help = true)]
    no_page: bool,

    /// How long requests that are under way may go on after the signal to stop; a second signal
    /// ends them at once
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s", hide_short_help = true)]
    shutdown_timeout: Duration,

    /// Say this to every client, in a Warning header; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = Warning::new, hide_short_help = true)]
    warning: Vec<Warning>,

    /// Say this to clients of one repository; may be given several times
    #[arg(long, value_name = "REPOSITORY=TEXT", value_parser = warning_in, hide_short_help = true)]
    warning_in: Vec<Warning>,

    /// Connections served at once; more wait
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections, hide_short_help = true)]
    max_connections: usize,

    /// Connections of one client address; more are closed
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_per_client, hide_short_help = true)]
    max_connections_per_client: usize,

    /// Upload sessions open at once; more are refused with 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().sessions, hide_short_help = true)]
    max_sessions: usize,

    /// How long an upload session is kept without a request
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h", hide_short_help = true)]
    session_timeout: Duration,

    /// How long an upload session is kept at all
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "168h", hide_short_help = true)]
    session_max_age: Duration,

    /// How long a connection is kept without a request
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2m", hide_short_help = true)]
    keep_alive: Duration,

    /// How long a body may be silent, or an answer unread
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s", hide_short_help = true)]
    client_timeout: Duration,

    /// Bytes of a body that have to come in every minute it is waited for
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_floor, hide_short_help = true)]
    min_body_rate: u64,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Fields with a space between them
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// What a server that runs needs until it has stopped.
pub(super) struct Operation {
    signals: Signals,
    shutdown_timeout: Duration,
}

impl OperationArgs {
    /// The builder with these settings, and what runs beside the server.
    ///
    /// Fails where the log cannot be written, or what the service manager hands over is no
    /// listening socket.
    pub(super) fn apply(
        &self,
        mut builder: ServerBuilder,
        print_address: bool,
    ) -> Result<(ServerBuilder, Operation), AppError> {
        if print_address && self.access_log == Path::new("-") {
            return Err(AppError::Usage(
                "--print-address and --access-log - both want standard output: log to a file, or \
                 to stderr"
                    .into(),
            ));
        }
        builder = builder
            .metrics(!self.no_metrics)
            .page(!self.no_page)
            .limits(self.limits());
        for warning in self.warning.iter().chain(&self.warning_in) {
            builder = builder.warning(warning.clone());
        }
        if let Some(log) = self.access_log()? {
            builder = builder.access_log(log);
        }
        if let Some(listener) = service_manager::listener().map_err(AppError::Usage)? {
            builder = builder.listen_on(listener);
        }
        let operation = Operation {
            signals: Signals::new().map_err(|error| AppError::System {
                attempted: "wait for signals".into(),
                error,
            })?,
            shutdown_timeout: self.shutdown_timeout,
        };
        Ok((builder, operation))
    }

    fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            connections_per_client: self.max_connections_per_client,
            sessions: self.max_sessions,
            session_idle: self.session_timeout,
            session_age: self.session_max_age,
            keep_alive: self.keep_alive,
            body_idle: self.client_timeout,
            answer_idle: self.client_timeout,
            body_floor: self.min_body_rate,
            ..Limits::default()
        }
    }

    fn access_log(&self) -> Result<Option<AccessLog>, AppError> {
        let format = match self.access_log_format {
            Format::Text => AccessLogFormat::Text,
            Format::Json => AccessLogFormat::Json,
        };
        let log = match self.access_log.to_str() {
            Some("off") => return Ok(None),
            Some("stderr") => AccessLog::new(format, io::stderr()),
            Some("-") => AccessLog::new(format, io::stdout()),
            _ => {
                let mut options = OpenOptions::new();
                let file = options.create(true).append(true).open(&self.access_log);
                file.and_then(|file| AccessLog::new(format, file))
            }
        };
        log.map(Some).map_err(|error| AppError::Io {
            attempted: format!("write the access log to {}", self.access_log.display()),
            error,
        })
    }
}

fn warning_in(text: &str) -> Result<Warning, String> {
    let (repository, text) = text.split_once('=').ok_or(
        "expected REPOSITORY=TEXT, for instance team/app='moves to another registry in May'",
    )?;
    Warning::new(text)
        .and_then(|it| it.in_repository(repository))
        .map_err(|error| error.to_string())
}

impl Operation {
    /// Tells who started this that it serves, waits for a signal, and stops.
    pub(super) async fn run(mut self, running: RunningServer, reload: Option<Reload>) {
        service_manager::ready(&running.url());
        let reloading = async {
            match reload {
                Some(mut reload) => reload.watch(&running).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            never = reloading => match never {},
            () = self.signals.next() => {}
            never = service_manager::watch() => match never {},
        }
        service_manager::stopping();
        interrupt::say(&format!(
            "stopping: requests under way have {} s, a second signal ends them now",
            self.shutdown_timeout.as_secs_f64()
        ));
        let hurry = self.signals.next();
        running.shutdown_within(self.shutdown_timeout, hurry).await;
    }
}
