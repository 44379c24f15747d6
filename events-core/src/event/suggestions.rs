//! Suggestions for misspelt names.

use crate::event::pattern::Pattern;

/// Returns `: did you mean ...` with the known name, or the pattern derived from one, that is nearest to the
/// text. Returns an empty string if none is near.
pub(crate) fn did_you_mean<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> String {
    let candidates = known.map(|name| with_wildcards_of(text, name)).filter_map(|candidate| {
        // The length is compared first, because it is cheap: a name from outside may be long, and there may
        // be many known names.
        if candidate.len().abs_diff(text.len()) > 3 {
            return None;
        }
        let distance = events_names::distance(text, &candidate);
        (distance <= 3 && distance * 3 <= text.len()).then_some((distance, candidate))
    });
    candidates.min().map_or_else(String::new, |(_, candidate)| format!(": did you mean `{candidate}`?"))
}

/// Replaces segments of a known name by the wildcards of the text: the name `user.created` and the text
/// `usr.*` give `user.*`.
fn with_wildcards_of(text: &str, name: &str) -> String {
    let names: Vec<&str> = name.split('.').collect();
    let texts: Vec<&str> = text.split('.').collect();
    let Some(star) = texts.iter().position(|segment| *segment == "*") else {
        let pairs = names.iter().enumerate();
        let pick = |(i, segment): (usize, &&str)| {
            if texts.get(i) == Some(&"+") { "+".to_owned() } else { segment.to_string() }
        };
        return pairs.map(pick).collect::<Vec<_>>().join(".");
    };
    let tail = texts.len() - star - 1;
    if names.len() < star + 1 + tail {
        return name.to_owned();
    }
    let ends = names[..star].iter().chain([&"*"]).chain(&names[names.len() - tail..]);
    let candidate = ends.copied().collect::<Vec<_>>().join(".");
    match Pattern::new(&candidate).is_ok_and(|pattern| pattern.matches(name)) {
        true => candidate,
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        let known = ["user.created", "user.deleted", "order.paid", "auth.login.failed"];
        let check = |text: &str, expected: &str| {
            let expected = match expected {
                "" => String::new(),
                name => format!(": did you mean `{name}`?"),
            };
            assert_eq!(did_you_mean(text, known.into_iter()), expected, "{text}");
        };
        check("usr.created", "user.created");
        check("usr.*", "user.*");
        check("user.creatde", "user.created");
        check("*.faild", "*.failed");
        check("auth.+.faield", "auth.+.failed");
        check("stock.emptied", "");
        check("x", "");
    }
}
