//! Types with the names of keywords.

use typed_events::catalog;
use typed_events::export::typescript;

use crate::judge::Judge;

/// Apart from the others, as they have names of the prelude.
mod declared {
    use typed_events::{event, payload};

    macro_rules! words {
        ($($raw:ident)+) => {
            $(
                #[allow(non_camel_case_types)]
                #[payload]
                struct $raw {
                    x: u8,
                }
            )+

            #[allow(non_snake_case)]
            #[event("words.all")]
            struct Words {
                $($raw: $raw,)+
            }
        };
    }

    words! {
        abstract_ r#abstract accessor any r#as assert asserts r#async r#await bigint boolean r#break case catch class r#const
        constructor r#continue debugger declare default defer delete r#do r#else r#enum export extends r#false finally r#for
        from function get global r#if implements import r#in infer instanceof interface intrinsic is keyof r#let module
        namespace never new null number object of out r#override package private protected public readonly require r#return
        satisfies set r#static string switch symbol this throw r#true r#try r#type r#typeof undefined unique unknown using
        var void r#while with r#yield
        Array Boolean EventName Events Number Object Record String Symbol
    }
}

#[test]
fn x2_types_may_have_the_names_of_keywords() {
    let Some(judge) = Judge::of("x2_keywords") else { return };
    let types = typescript(&catalog().only(|item| item.contains("words::")));
    let uses = r#"import type { Events } from "./events";
export const all = (words: Events["words.all"]): number => words.function.x + words.class.x + words.Array.x;
// @ts-expect-error
export const wrong: Events["words.all"]["keyof"] = { x: "1" };
"#;
    assert_eq!(judge.compile(&types, uses), [""; 0], "{types}");
    // The words of the compiler that is installed, which may be a newer one.
    let keywords: Vec<String> = serde_json::from_value(judge.says("keywords", &[])).unwrap();
    // Can't be the name of a type of Rust.
    let missing: Vec<_> = keywords
        .iter()
        .filter(|word| *word != "super" && !types.contains(&format!("\n  {word}: ")))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn x2_types_keep_names_that_are_none() {
    let types = typescript(&catalog().only(|item| item.contains("words::")));
    assert!(
        types.contains("export type abstract_ = ") && types.contains("  abstract: abstract2;"),
        "{types}"
    );
}
