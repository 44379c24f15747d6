//! The path to a value, collected on the way out of an error.

use crate::{Segment, path_text};

/// The steps from the whole to a part of it, the last one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Index(usize),
    /// The name of a field or variant: text of the program.
    Field(&'static str),
    /// The key of a map: part of a value.
    Key(String),
}

impl Path {
    /// The path of one step.
    pub fn of(step: Step) -> Self {
        Self(vec![step])
    }

    /// Adds the step above.
    pub fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    /// The path as messages show it, such as `.addresses[1].city`.
    pub fn text(&self) -> String {
        path_text(self.0.iter().rev().map(Step::segment))
    }

    /// The path up to the first key of a map, which may be secret.
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
