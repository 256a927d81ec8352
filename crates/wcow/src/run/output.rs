//! What a command prints, cut into lines: each is an event.

use crate::{BuildEvent, Events, RunStream};

/// The longest line that is told as one, in bytes, inclusive; what is longer is told in pieces.
pub const MAX_OUTPUT_LINE_BYTES: usize = 16 * 1024;

/// Where a runner hands over what a command prints.
#[derive(Debug)]
pub struct RunOutput {
    events: Events,
    line: usize,
    /// What was printed after the last end of a line, of each stream.
    begun: [Vec<u8>; 2],
}

impl RunOutput {
    /// For the `RUN` in this line.
    pub(crate) fn new(events: Events, line: usize) -> Self {
        Self {
            events,
            line,
            begun: [Vec::new(), Vec::new()],
        }
    }

    /// Takes what was printed, in pieces of any size. Each line is told once it is whole, without
    /// its end; what is no UTF-8 in it is replaced.
    pub fn write(&mut self, stream: RunStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|it| *it == b'\n');
            let text = &bytes[..end.unwrap_or(bytes.len())];
            let begun = &mut self.begun[stream as usize];
            let room = MAX_OUTPUT_LINE_BYTES - begun.len();
            if text.len() > room {
                begun.extend_from_slice(&text[..room]);
                bytes = &bytes[room..];
                self.tell(stream);
                continue;
            }
            begun.extend_from_slice(text);
            bytes = &bytes[end.map_or(text.len(), |it| it + 1)..];
            if end.is_some() {
                self.tell(stream);
            }
        }
    }

    /// Tells the last lines, which have no end.
    pub(crate) fn finish(mut self) {
        for stream in [RunStream::Stdout, RunStream::Stderr] {
            if !self.begun[stream as usize].is_empty() {
                self.tell(stream);
            }
        }
    }

    fn tell(&mut self, stream: RunStream) {
        let begun = std::mem::take(&mut self.begun[stream as usize]);
        let text = String::from_utf8_lossy(begun.strip_suffix(b"\r").unwrap_or(&begun));
        self.events.tell(&BuildEvent::Output {
            line: self.line,
            stream,
            text: text.into_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn told(pieces: &[(RunStream, &[u8])]) -> Vec<(RunStream, String)> {
        let (sender, receiver) = channel();
        let mut output = RunOutput::new(Events::new(sender), 7);
        for (stream, bytes) in pieces {
            output.write(*stream, bytes);
        }
        output.finish();
        let lines = receiver.try_iter().map(|it| match it {
            BuildEvent::Output {
                line: 7,
                stream,
                text,
            } => (stream, text),
            other => panic!("{other:?}"),
        });
        lines.collect()
    }

    #[test]
    fn b12_output_is_told_by_lines_however_it_is_cut_into_pieces() {
        let (out, err) = (RunStream::Stdout, RunStream::Stderr);
        let lines = told(&[
            (out, b"one\r\ntw"),
            (err, b"wrong\n"),
            (out, b"o\n\n"),
            (err, b"no end"),
            (out, b"bad \xff"),
        ]);
        let expected = [
            (out, "one"),
            (err, "wrong"),
            (out, "two"),
            (out, ""),
            (out, "bad \u{fffd}"),
            (err, "no end"),
        ];
        assert_eq!(lines, expected.map(|(it, text)| (it, text.to_owned())));
    }

    #[test]
    fn b12_a_line_without_end_is_told_in_pieces_and_not_kept() {
        let long = vec![b'x'; 2 * MAX_OUTPUT_LINE_BYTES + 1];
        let lines = told(&[(RunStream::Stdout, &long)]);
        let lengths: Vec<_> = lines.iter().map(|it| it.1.len()).collect();
        assert_eq!(lengths, [MAX_OUTPUT_LINE_BYTES, MAX_OUTPUT_LINE_BYTES, 1]);
        // One that is as long as may be is one.
        let mut exact = vec![b'x'; MAX_OUTPUT_LINE_BYTES];
        exact.extend(b"\ny\n");
        assert_eq!(told(&[(RunStream::Stdout, &exact)]).len(), 2);
    }
}
