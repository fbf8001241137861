//! The pages of conditions, to which alerts link: `docs/conditions/*.md` as HTML.
//!
//! The little Markdown those pages use: a heading, paragraphs, lists, `code`, **bold** and links.

use std::fmt::Write as _;

use crate::page::{Escaped, STYLE};

mod baked {
    include!(concat!(env!("OUT_DIR"), "/pages.rs"));
}

/// The page of `id`, if there is one.
pub(crate) fn page(id: &str) -> Option<String> {
    let at = baked::PAGES.binary_search_by_key(&id, |(id, _)| id).ok()?;
    Some(whole(id, &body(baked::PAGES[at].1)))
}

/// All ids, as a page.
pub(crate) fn index() -> String {
    let mut links = String::new();
    for (id, _) in baked::PAGES {
        // Writing to a String cannot fail.
        let _ = writeln!(links, "<li><a href=\"/conditions/{id}\">{id}</a></li>");
    }
    whole("conditions", &format!("<h1>Conditions</h1>\n<ul>\n{links}</ul>\n"))
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body class=\"text\">\n<main>\n{body}\
         <p class=\"small\"><a href=\"/\">status</a> · <a href=\"/conditions/\">all conditions</a></p>\n\
         </main>\n</body>\n</html>\n",
        Escaped(title),
    )
}

fn body(markdown: &str) -> String {
    let mut out = String::new();
    for block in markdown.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        // Writing to a String cannot fail.
        let _ = if let Some(title) = block.strip_prefix("# ") {
            writeln!(out, "<h1>{}</h1>", inline(title))
        } else if let Some(title) = block.strip_prefix("## ") {
            writeln!(out, "<h2>{}</h2>", inline(title))
        } else if block.starts_with("- ") {
            let items = block.split("\n- ").map(|item| item.trim_start_matches("- "));
            let items: Vec<String> = items.map(|item| ["<li>", &inline(item), "</li>\n"].concat()).collect();
            writeln!(out, "<ul>\n{}</ul>", items.concat())
        } else {
            writeln!(out, "<p>{}</p>", inline(block))
        };
    }
    out
}

/// `code` first, because nothing else means anything inside it.
fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(n, part)| match n % 2 {
            1 => ["<code>", &Escaped(part).to_string(), "</code>"].concat(),
            _ => links(&bold(&Escaped(part).to_string())),
        })
        .collect()
}

fn bold(text: &str) -> String {
    let parts = text.split("**").enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { ["<b>", part, "</b>"].concat() } else { part.to_owned() }).collect()
}

/// `[words](other-page.md)` becomes a link to that page here; any other link only its words.
fn links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    let Some((words, rest)) = rest.split_once("](") else { return text.to_owned() };
    let Some((target, after)) = rest.split_once(')') else { return text.to_owned() };
    let link = match target
        .strip_suffix(".md")
        .filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    {
        Some(id) => format!("<a href=\"/conditions/{id}\">{words}</a>"),
        None => words.to_owned(),
    };
    format!("{before}{link}{}", links(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_there_and_becomes_sound_html() {
        for (id, text) in baked::PAGES {
            let page = page(id).unwrap();
            assert!(page.contains(&format!("<h1>{id}</h1>")), "{id}: the heading is the id");
            assert!(page.contains("<b>"), "{id}: how severe it is stands first, in bold");
            for tag in ["p", "b", "code", "li", "ul", "h1"] {
                let opened =
                    page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
                assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{id}: <{tag}>\n{text}");
            }
        }
        assert!(page("no-such").is_none() && page("../x").is_none());
    }

    #[test]
    fn the_little_markdown_there_is() {
        assert_eq!(
            inline("a `b < **c**` **d** [e](usb-recovery.md) [f](https://x)"),
            "a <code>b &lt; **c**</code> <b>d</b> <a href=\"/conditions/usb-recovery\">e</a> f"
        );
        assert_eq!(body("- one\n- two\n\ntext"), "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n<p>text</p>\n");
    }
}
