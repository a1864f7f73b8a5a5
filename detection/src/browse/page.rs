//! The page from its parts.

use imbalance_evaluation::page::{fill_in, in_html, in_script};
use serde::Serialize;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// The page with this title, whose script reads `data`.
///
/// # Errors
/// Data that is no JSON.
pub(super) fn fill(title: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
    let (title, data) = (in_html(title), in_script(&serde_json::to_string(data)?));
    Ok(fill_in(PAGE, &[("title", &title), ("style", STYLE), ("script", SCRIPT), ("data", &data)]))
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
