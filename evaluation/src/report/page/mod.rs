//! The page of a report.

use crate::page::Page;

/// Its parts.
pub(super) const PAGE: Page<'_> = Page {
    body: include_str!("body.html"),
    style: include_str!("style.css"),
    scripts: &[include_str!("tables.js"), include_str!("series.js"), include_str!("chart.js"), include_str!("page.js")],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_and_no_text_is_made_into_html() {
        let page = PAGE.fill("runs", &0).unwrap();
        for address in ["http://", "https://", "src=\"/", "@import", "innerHTML"] {
            assert!(!page.contains(address), "{address}");
        }
    }
}
