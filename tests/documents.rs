//! The guide's table of contents names every chapter, and no link between the repository's documents is dead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The documents outside of the guide.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "MISTAKES.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "benches/peers/RESULTS.md",
];

/// Files and folders of the repository, as hosted pages link to them.
const URLS: [&str; 2] = [
    "https://github.com/typed-events/typed-events/blob/main/",
    "https://github.com/typed-events/typed-events/tree/main/",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Markdown files in `docs/`, by their paths from the root.
fn chapters() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect()
}

/// The lines outside of fenced code.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// A line without its code spans.
fn prose(line: &str) -> String {
    let mut rest = line;
    let mut kept = String::new();
    while let Some(start) = rest.find('`') {
        let fence = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let (marks, behind) = rest[start..].split_at(fence);
        let Some(end) = behind.find(marks) else { break };
        kept += &rest[..start];
        rest = &behind[end + fence..];
    }
    kept + rest
}

/// The targets of a text's links: `[text](target)` and `[name]: target`.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // A link may be broken over two lines, between the words of its text.
    for line in lines(text).map(prose) {
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(inline.map(str::to_owned));
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
        {
            found.push(target.trim().to_owned());
        }
    }
    found
}

/// The anchors of a text's headings, as GitHub and mdBook name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in lines(text).filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let repeated = (0..).map(|n| if n == 0 { anchor.clone() } else { format!("{anchor}-{n}") });
        let new = repeated.into_iter().find(|anchor| !anchors.contains(anchor));
        anchors.extend(new);
    }
    anchors
}

/// Resolves `.` and `..`; `None` above the root.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir if normal.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(normal)
}

/// Returns what is wrong with a link of a document, if it is dead.
fn problem(document: &str, link: &str) -> Option<&'static str> {
    let (target, anchor) =
        link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let url = URLS.iter().find_map(|url| target.strip_prefix(url));
    if url.is_none() && target.contains(':') {
        return None; // another site
    }
    let beside = Path::new(document).parent().unwrap();
    let path = match url {
        Some(path) => Some(PathBuf::from(path)),
        None if target.is_empty() => Some(PathBuf::from(document)),
        None => normal(&beside.join(target)),
    };
    let Some(path) = path else { return Some("leads out of the repository") };
    if url.is_none() && document == "README.md" {
        return Some("is relative, and dead on the hosted front page: write the URL");
    }
    if url.is_none() && beside == Path::new("docs") && !path.starts_with("docs") {
        return Some("leads out of the guide, and is dead in the built book: write the URL");
    }
    if !root().join(&path).exists() {
        return Some("names no file of the repository");
    }
    let anchor = anchor?;
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    let is_there = is_markdown && anchors(&fs::read_to_string(root().join(&path)).unwrap()).contains(anchor);
    (!is_there).then_some("names no heading of that file")
}

#[test]
fn no_link_is_dead() {
    let documents = chapters().into_iter().chain(DOCUMENTS.map(str::to_owned));
    let (mut count, mut dead) = (0, Vec::new());
    for document in documents {
        for link in links(&read(&document)) {
            count += 1;
            dead.extend(problem(&document, &link).map(|problem| format!("{document}: `{link}` {problem}")));
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(count > 50, "{count}");
}

#[test]
fn the_table_of_contents_names_every_chapter() {
    let named: Vec<_> = links(&read("docs/SUMMARY.md")).iter().map(|name| format!("docs/{name}")).collect();
    let mut chapters = chapters();
    assert!(chapters.remove("docs/SUMMARY.md"));
    assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), chapters);
    assert_eq!(named.len(), chapters.len(), "a chapter is named twice");
}

/// Snippets of a chapter that is not in this list are not compiled.
#[test]
fn the_snippets_of_every_chapter_are_compiled() {
    let compiled = read("tests/guide/src/lib.rs");
    for chapter in chapters().iter().filter(|chapter| *chapter != "docs/SUMMARY.md") {
        assert!(compiled.contains(&format!("\"../../../{chapter}\"")), "{chapter}");
        let fences = read(chapter);
        let languages = fences.lines().filter_map(|line| line.trim_start().strip_prefix("```"));
        let skipped: Vec<_> =
            languages.filter(|language| *language == "rs" || language.contains("ignore")).collect();
        assert!(skipped.is_empty(), "{chapter}: {skipped:?}");
    }
}

/// The text of all Rust files below a folder.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, all),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                *all += &fs::read_to_string(path).unwrap();
            }
            false => {}
        }
    }
}

#[test]
fn the_tests_behind_the_delivery_guarantees_exist() {
    let mut tests = String::new();
    for folder in ["tests", "events-core/src/conformance", "examples"] {
        sources(&root().join(folder), &mut tests);
    }
    let delivery = read("docs/delivery.md");
    let spans = delivery.split('`').skip(1).step_by(2);
    let named: Vec<_> = spans.filter(|span| span.matches('_').count() > 2 && !span.contains('/')).collect();
    let is_there = |name: &str| ["(", "<"].iter().any(|end| tests.contains(&format!("fn {name}{end}")));
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(named.len() > 40, "{}", named.len());
}

#[test]
fn links_and_anchors_are_found() {
    let text = "# A *b* `c`: d\n## Same\n## Same\n```\n[no](no.md)\n```\n`[no](no.md)` [a](b.md#c) [d](e)\n\n[f]: g.md\n";
    assert_eq!(links(text), ["b.md#c", "e", "g.md"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c-d", "same", "same-1"].map(str::to_owned)));
    assert_eq!(problem("docs/faq.md", "limits.md#events"), None);
    for (document, link) in [
        ("docs/faq.md", "limit.md"),
        ("docs/faq.md", "limits.md#no-such-heading"),
        ("docs/faq.md", "#no-such-heading"),
        ("docs/faq.md", "../README.md"),
        ("CONTRIBUTING.md", "../README.md"),
        ("README.md", "docs/faq.md"),
        ("CHANGELOG.md", "https://github.com/typed-events/typed-events/blob/main/docs/FAQ.md"),
    ] {
        assert!(problem(document, link).is_some(), "{document}: {link}");
    }
}
