//! What a build tells while it goes on: lines for a person, and a file for a program.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use push::ByteSize;
use serde_json::{Value, json};
use wcow::{BuildEvent, BuildObserver, Built};

use crate::{
    error::AppError,
    render::{Foreign, Short, progress::Progress},
    warning::warn,
};

/// Tells of a build.
pub(super) struct Tell {
    progress: Arc<Progress>,
    quiet: bool,
    /// Whether not even what is fetched is told, which a plan tells, too.
    silent: bool,
    file: Option<Mutex<File>>,
}

impl Tell {
    pub(super) fn new(
        progress: Arc<Progress>,
        (quiet, silent): (bool, bool),
        events: Option<&Path>,
    ) -> Result<Self, AppError> {
        let file = events.map(|path| {
            let created = File::create(path).map(Mutex::new);
            created.map_err(|error| AppError::Io {
                attempted: format!("write events to {}", path.display()),
                error,
            })
        });
        Ok(Self {
            progress,
            quiet,
            silent,
            file: file.transpose()?,
        })
    }
}

impl BuildObserver for Tell {
    fn observe(&self, event: &BuildEvent) {
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A file that cannot be written to, or nobody reads, is no reason to stop.
            let _ = writeln!(file, "{}", as_json(event));
        }
        match event {
            BuildEvent::Warning(text) => warn(text),
            // The error itself is told by whoever ends the command.
            BuildEvent::Failed { .. } => {}
            BuildEvent::Fetch { .. } | BuildEvent::CopiedFrom { .. } if !self.silent => {
                if let Some(line) = line(event) {
                    self.progress.say(line);
                }
            }
            other if !self.quiet => {
                if let Some(line) = line(other) {
                    self.progress.say(line);
                }
            }
            _ => {}
        }
    }
}

fn line(event: &BuildEvent) -> Option<String> {
    Some(match event {
        BuildEvent::Mapped { from, to } => format!("FROM {from} is {to} here"),
        BuildEvent::Base {
            reference,
            platform,
            digest,
            bytes,
        } => format!(
            "FROM {reference}: {platform}, {}; its {} are not read",
            Short(digest),
            ByteSize(*bytes)
        ),
        BuildEvent::CopiedFrom {
            reference,
            platform,
            digest,
            bytes,
        } => format!(
            "COPY --from={reference}: {platform}, {}; it has {} of layers",
            Short(digest),
            ByteSize(*bytes)
        ),
        BuildEvent::Fetch {
            reference,
            digest,
            size,
        } => format!(
            "  {} {:>11}  is fetched from {reference}, to copy files out of it",
            Short(digest),
            ByteSize(*size)
        ),
        BuildEvent::Output { line, text, .. } => format!("  {line}: {}", Foreign(text)),
        BuildEvent::Layer {
            instruction,
            digest,
            size,
        } => format!("  {} {:>11}  {instruction}", Short(digest), ByteSize(*size)),
        BuildEvent::Shared {
            instruction,
            digest,
        } => format!("  {} {:>11}  {instruction}", Short(digest), "the same"),
        BuildEvent::Image { platform, digest } => format!("image {} for {platform}", Short(digest)),
        BuildEvent::Index { digest } => format!("index {}", Short(digest)),
        _ => return None,
    })
}

fn as_json(event: &BuildEvent) -> Value {
    match event {
        BuildEvent::Mapped { from, to } => json!({ "event": "mapped", "from": from, "to": to }),
        BuildEvent::Base {
            reference,
            platform,
            digest,
            bytes,
        }
        | BuildEvent::CopiedFrom {
            reference,
            platform,
            digest,
            bytes,
        } => {
            let is_base = matches!(event, BuildEvent::Base { .. });
            json!({
                "event": if is_base { "base" } else { "copied-from" }, "reference": reference,
                "platform": platform.to_string(), "digest": digest, "layer_bytes": bytes,
            })
        }
        BuildEvent::Fetch {
            reference,
            digest,
            size,
        } => json!({
            "event": "fetch", "reference": reference, "digest": digest, "size": size,
        }),
        BuildEvent::Output { line, stream, text } => json!({
            "event": "output", "line": line, "stream": stream.name(), "text": text,
        }),
        BuildEvent::Layer {
            instruction,
            digest,
            size,
        } => json!({
            "event": "layer", "instruction": instruction, "digest": digest, "size": size,
        }),
        BuildEvent::Shared {
            instruction,
            digest,
        } => json!({ "event": "shared", "instruction": instruction, "digest": digest }),
        BuildEvent::Image { platform, digest } => json!({
            "event": "image", "platform": platform.to_string(), "digest": digest,
        }),
        BuildEvent::Index { digest } => json!({ "event": "index", "digest": digest }),
        BuildEvent::Warning(text) => json!({ "event": "warning", "text": text }),
        BuildEvent::Failed { causes } => json!({ "event": "failed", "causes": causes }),
        _ => json!({ "event": "other" }),
    }
}

/// What was built, for a program.
pub(super) fn built_json(built: &Built) -> Value {
    let images: Vec<Value> = built
        .parts()
        .iter()
        .map(|part| {
            let base = part.base().map(|it| {
                json!({
                    "reference": it.reference(),
                    "digest": it.manifest().digest(),
                    "layer_bytes": it.layers().iter().map(|it| it.size).sum::<u64>(),
                })
            });
            let of_base = part.base().map_or(0, |it| it.layers().len());
            let new = part.image().layers().iter().skip(of_base);
            let new: Vec<Value> = new
                .map(|it| json!({ "digest": it.digest, "size": it.size }))
                .collect();
            json!({
                "platform": part.platform().to_string(),
                "digest": part.image().digest(),
                "base": base,
                "layers": new,
            })
        })
        .collect();
    let mut value = json!({ "digest": built.digest(), "images": images });
    if !built.fetched().is_empty() {
        let fetched = built.fetched().iter();
        value["fetched"] = fetched
            .map(|it| json!({ "reference": it.reference, "digest": it.digest, "size": it.size }))
            .collect();
    }
    value
}
