//! The path to a value, which an error collects from the inside out.

use crate::{Segment, path_text};

/// The steps from the outermost value to a part of it, innermost step first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Index(usize),
    /// The name of a field or variant, which comes from the program.
    Field(&'static str),
    /// The key of a map, which comes from the value.
    Key(String),
}

impl Path {
    /// Creates a path with one step.
    pub fn of(step: Step) -> Self {
        Self(vec![step])
    }

    /// Adds an outer step.
    pub fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    /// Returns the path in the form of messages, such as `.addresses[1].city`.
    pub fn text(&self) -> String {
        path_text(self.0.iter().rev().map(Step::segment))
    }

    /// Returns the path up to the first key of a map. Keys may be secret.
    pub fn text_before_keys(&self) -> String {
        let steps = self.0.iter().rev().take_while(|step| !matches!(step, Step::Key(_)));
        path_text(steps.map(Step::segment))
    }
}

impl Step {
    fn segment(&self) -> Segment<'_> {
        match self {
            Self::Index(index) => Segment::Index(*index),
            Self::Field(name) => Segment::Key(name),
            Self::Key(key) => Segment::Key(key),
        }
    }
}
