//! The page from its parts.

use serde::Serialize;

use crate::page::{fill_in, in_html, in_script};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// The scripts, in the order in which they are read.
const SCRIPTS: [&str; 4] =
    [include_str!("tables.js"), include_str!("series.js"), include_str!("chart.js"), include_str!("page.js")];

/// The page with this title, whose script reads `data`.
///
/// # Errors
/// Data that is no JSON.
pub(super) fn fill(title: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
    let (title, data, scripts) = (in_html(title), in_script(&serde_json::to_string(data)?), SCRIPTS.join("\n"));
    Ok(fill_in(PAGE, &[("title", &title), ("style", STYLE), ("script", &scripts), ("data", &data)]))
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
        let page = fill("runs", &0).unwrap();
        assert!(page.contains(STYLE) && SCRIPTS.iter().all(|script| page.contains(script)) && !page.contains("{{"));
        // Nothing is fetched: the page is whole. Neither are texts made into HTML.
        for address in ["http://", "https://", "src=\"/", "@import", "innerHTML"] {
            assert!(!page.contains(address), "{address}");
        }
    }
}
