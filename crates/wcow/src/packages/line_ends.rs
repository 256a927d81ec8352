//! Which line of a text a byte is in.

/// Where the lines of a text end.
#[derive(Debug)]
pub(super) struct LineEnds(Vec<usize>);

impl LineEnds {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|it| it.0).collect())
    }

    /// Which line a byte is in, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b16_a_line_end_belongs_to_its_line() {
        let ends = LineEnds::of("a\n\nb");
        let lines: Vec<usize> = (0..4).map(|it| ends.line(it)).collect();
        assert_eq!(lines, [1, 1, 2, 3]);
    }
}
