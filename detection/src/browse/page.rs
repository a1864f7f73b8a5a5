//! The page from its parts.

use serde::Serialize;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// The page with this title, whose script reads `data`.
///
/// # Errors
/// Data that is no JSON.
pub(super) fn fill(title: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
    let data = in_script(&serde_json::to_string(data)?);
    let title = in_html(title);
    let part = |name: &str| match name {
        "title" => title.as_str(),
        "style" => STYLE,
        "script" => SCRIPT,
        _ => data.as_str(),
    };
    // From left to right, so that nothing is looked for in what was filled in.
    let (mut page, mut rest) = (String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len()), PAGE);
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        page.push_str(before);
        page.push_str(part(name));
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// Text as HTML shows it.
fn in_html(text: &str) -> String {
    let mut safe = text.replace('&', "&amp;");
    for (character, name) in [('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")] {
        safe = safe.replace(character, name);
    }
    safe
}

/// JSON that ends no script: `<` occurs within its texts only, where it can be written as its code.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let name = "</script><!-- {{style}} & \"a\"";
        let page = fill(name, &[name]).unwrap();
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert!(page.contains("<title>&lt;/script&gt;&lt;!-- {{style}} &amp; &quot;a&quot;</title>"));
        let (_, data) = page.split_once(r#"id="data">"#).unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert!(!data.contains('<'));
        assert_eq!(serde_json::from_str::<Vec<String>>(data).unwrap(), [name]);
    }

    #[test]
    fn all_parts_are_there() {
        let page = fill("run", &0).unwrap();
        assert!(page.contains(STYLE) && page.contains(SCRIPT) && !page.contains("{{"), "every place is filled");
        // Nothing is fetched: the page is whole.
        for address in ["http://", "https://", "src=\"/", "@import"] {
            let own = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(address), "{address}");
        }
    }
}
