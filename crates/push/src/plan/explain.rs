//! A plan as text: what would move, and why.

use std::fmt::{self, Display, Write as _};

use oci::Descriptor;

use super::{Action, Bytes, Plan, Reason, Step};
use crate::{byte_size::ByteSize, foreign::ForeignLayers};

/// How many hex digits of a digest are shown.
const SHORT: usize = 12;

impl Plan {
    /// The plan for a person: a line for each step, aligned, and what it comes to. For a
    /// program there is its JSON form, through [`serde::Serialize`].
    pub fn explain(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "{} -> {}", self.digest(), Names(self))?;
        if let Some(foreign) = &self.foreign {
            write!(out, "{}", Embedded(foreign))?;
        }
        let rows: Vec<[String; 4]> = self.steps.iter().map(row).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let (what, action, size) = (width(0), width(1), width(2));
        for [node, doing, bytes, because] in &rows {
            writeln!(
                out,
                "  {node:what$}  {doing:action$}  {bytes:>size$}  {because}"
            )?;
        }
        let totals = self.totals;
        writeln!(out, "{}", Moved(&totals.bytes))?;
        if totals.bytes.resumed > 0 {
            let resumed = ByteSize(totals.bytes.resumed);
            writeln!(out, "{resumed} were sent by pushes that were interrupted")?;
        }
        let requests = match totals.requests.total() {
            1 => "1 request".to_owned(),
            more => format!("{more} requests"),
        };
        let methods = totals.requests.by_method().into_iter();
        let methods = methods.filter(|(_, count)| *count > 0);
        let methods: Vec<String> = methods
            .map(|(method, count)| format!("{method} {count}"))
            .collect();
        let of_which = match methods.len() {
            0 => String::new(),
            _ => format!(" ({})", methods.join(", ")),
        };
        writeln!(
            out,
            "at most {requests}{of_which}, in {}",
            match totals.depth {
                1 => "1 round trip".to_owned(),
                more => format!("{more} round trips"),
            },
        )
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain())
    }
}

/// What becomes of the bytes. What is rare is named only where there is some of it.
struct Moved<'a>(&'a Bytes);

impl Display for Moved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        write!(
            f,
            "{} to upload, {} to mount, {} there already",
            ByteSize(bytes.uploaded),
            ByteSize(bytes.mounted),
            ByteSize(bytes.present),
        )?;
        if bytes.foreign > 0 {
            write!(f, ", {} foreign", ByteSize(bytes.foreign))?;
        }
        write!(f, "; {} in all", ByteSize(bytes.total))?;
        if bytes.unique < bytes.total {
            write!(f, ", {} with each blob once", ByteSize(bytes.unique))?;
        }
        Ok(())
    }
}

/// What is said of foreign layers that are pushed as ordinary ones; nothing of others.
struct Embedded<'a>(&'a ForeignLayers);

impl Display for Embedded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(image) = self.0.image() else {
            return Ok(());
        };
        let layers = match self.0.layers.len() {
            1 => "1 foreign layer".to_owned(),
            more => format!("{more} foreign layers"),
        };
        writeln!(
            f,
            "{layers} as ordinary ones: {} becomes {}",
            image.from, image.to
        )?;
        match self.0.left_behind.len() {
            0 => Ok(()),
            1 => writeln!(f, "1 manifest about what had the old digest stays behind"),
            more => writeln!(
                f,
                "{more} manifests about what had the old digest stay behind"
            ),
        }
    }
}

impl ForeignLayers {
    /// In words what is pushed with another digest than it has in the source, and what stays
    /// behind by that; empty if nothing is.
    pub fn explain(&self) -> String {
        Embedded(self).to_string()
    }
}

fn row(step: &Step) -> [String; 4] {
    let doing = match &step.action {
        Action::Skip => "present".to_owned(),
        Action::Point => "foreign, kept".to_owned(),
        Action::Mount { from, .. } => match from.first() {
            Some(first) => format!("mount from {}", first.path()),
            None => "mount".to_owned(),
        },
        Action::Resume { acknowledged } => format!("resume at {}", ByteSize(*acknowledged)),
        Action::Upload => "upload".to_owned(),
        Action::Put { tag: None } => "put".to_owned(),
        Action::Put { tag: Some(tag) } => format!("put as {tag}"),
    };
    [
        format!("{} {}", kind(&step.node), short(&step.node)),
        doing,
        ByteSize(step.node.size).to_string(),
        because(&step.because),
    ]
}

fn kind(node: &Descriptor) -> &'static str {
    let media_type = &node.media_type;
    if media_type.is_index() {
        "index"
    } else if media_type.is_manifest() {
        "manifest"
    } else if media_type.is_config() {
        "config"
    } else {
        "blob"
    }
}

fn short(node: &Descriptor) -> String {
    let encoded = node.digest.encoded();
    encoded.get(..SHORT).unwrap_or(encoded).to_owned()
}

fn because(reason: &Reason) -> String {
    match reason {
        Reason::Held => "the repository holds it".to_owned(),
        Reason::HeldByParent => "the repository holds what it is part of".to_owned(),
        Reason::KnownIn { repositories } => {
            let paths: Vec<&str> = repositories.iter().map(oci::Repository::path).collect();
            format!("may be in {}", paths.join(", "))
        }
        Reason::MountsRefused { repositories } => {
            let paths: Vec<&str> = repositories.iter().map(oci::Repository::path).collect();
            format!(
                "may be in {}; the registry refuses mounts",
                paths.join(", ")
            )
        }
        Reason::MustMount => "must be mounted".to_owned(),
        Reason::Interrupted => "an upload of it was interrupted".to_owned(),
        Reason::Absent => "the repository does not hold it".to_owned(),
        Reason::Untagged => "the repository holds it, not under this tag".to_owned(),
        Reason::Unknown => "the target does not say whether it is there".to_owned(),
        Reason::Foreign => "its type says it stays at its urls".to_owned(),
    }
}

struct Names<'a>(&'a Plan);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.repository.fmt(f)?;
        for (position, tag) in self.0.tags().iter().enumerate() {
            write!(f, "{}{tag}", if position == 0 { ":" } else { ", :" })?;
        }
        Ok(())
    }
}
