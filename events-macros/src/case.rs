//! The naming rules of serde's `rename_all`.

/// A naming rule for serialized names.
#[derive(Clone, Copy, Default)]
pub(crate) enum Case {
    #[default]
    AsWritten,
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    /// Returns the rule with this name, else `AsWritten`. `serde_derive` reports names that serde does not know.
    pub(crate) fn named(name: Option<String>) -> Self {
        match name.as_deref() {
            Some("lowercase") => Self::Lower,
            Some("UPPERCASE") => Self::Upper,
            Some("PascalCase") => Self::Pascal,
            Some("camelCase") => Self::Camel,
            Some("snake_case") => Self::Snake,
            Some("SCREAMING_SNAKE_CASE") => Self::ScreamingSnake,
            Some("kebab-case") => Self::Kebab,
            Some("SCREAMING-KEBAB-CASE") => Self::ScreamingKebab,
            _ => Self::AsWritten,
        }
    }

    /// Returns the serialized name of a field. `field` is in snake_case.
    pub(crate) fn of_field(self, field: &str) -> String {
        let capitalised = |word| with_first(word, char::to_ascii_uppercase);
        let pascal = || field.split('_').map(capitalised).collect::<String>();
        match self {
            Self::AsWritten | Self::Lower | Self::Snake => field.to_owned(),
            Self::Upper | Self::ScreamingSnake => field.to_ascii_uppercase(),
            Self::Pascal => pascal(),
            Self::Camel => with_first(&pascal(), char::to_ascii_lowercase),
            Self::Kebab => field.replace('_', "-"),
            Self::ScreamingKebab => field.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// Returns the serialized name of a variant. `variant` is in PascalCase.
    pub(crate) fn of_variant(self, variant: &str) -> String {
        match self {
            Self::AsWritten | Self::Pascal => variant.to_owned(),
            Self::Lower => variant.to_ascii_lowercase(),
            Self::Upper => variant.to_ascii_uppercase(),
            Self::Camel => with_first(variant, char::to_ascii_lowercase),
            Self::Snake => split_words(variant),
            Self::ScreamingSnake => split_words(variant).to_ascii_uppercase(),
            Self::Kebab => split_words(variant).replace('_', "-"),
            Self::ScreamingKebab => split_words(variant).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

fn with_first(name: &str, change: fn(&char) -> char) -> String {
    let mut letters = name.chars();
    letters.next().as_ref().map(change).into_iter().chain(letters).collect()
}

/// Converts `OrderPaid` to `order_paid`.
fn split_words(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (i, letter) in name.char_indices() {
        if i > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
