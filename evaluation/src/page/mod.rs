//! Pages of HTML that need no other file.

use serde::Serialize;

const FRAME: &str = include_str!("frame.html");
const STYLE: &str = include_str!("frame.css");

/// The parts of a page; the frame has the title (an `h1`), an empty paragraph `summary`, colours and controls.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What stands below the title.
    pub body: &'a str,
    /// Rules beside those of the frame.
    pub style: &'a str,
    /// Read in this order, within one function; they find their data in the element `data`.
    pub scripts: &'a [&'a str],
}

impl Page<'_> {
    /// The page with this title, whose scripts read `data`.
    ///
    /// # Errors
    /// Data that is no JSON.
    pub fn fill(&self, title: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
        let (title, data) = (in_html(title), in_script(&serde_json::to_string(data)?));
        let (style, scripts) = ([STYLE, self.style].join("\n"), self.scripts.join("\n"));
        let parts =
            [("title", &*title), ("style", &style), ("body", self.body), ("scripts", &scripts), ("data", &data)];
        Ok(fill_in(FRAME, &parts))
    }
}

/// A template with its `{{name}}` filled in, from left to right: what was filled in is not looked into. A name that is not
/// among `parts` gives nothing.
pub fn fill_in(template: &str, parts: &[(&str, &str)]) -> String {
    let length: usize = parts.iter().map(|(_, text)| text.len()).sum();
    let (mut page, mut rest) = (String::with_capacity(template.len() + length), template);
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        page.push_str(before);
        page.push_str(parts.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text));
        rest = after;
    }
    page.push_str(rest);
    page
}

/// Text as HTML shows it.
pub fn in_html(text: &str) -> String {
    let mut safe = text.replace('&', "&amp;");
    for (character, name) in [('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")] {
        safe = safe.replace(character, name);
    }
    safe
}

/// JSON that ends no script: `<` occurs within its texts only, where it can be written as its code.
pub fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_looked_into() {
        let page = fill_in("a{{one}}b{{two}}c{{none}}d{{", &[("one", "{{two}}"), ("two", "2")]);
        assert_eq!(page, "a{{two}}b2cd{{");
    }

    #[test]
    fn a_page_is_whole_whatever_it_tells_of() {
        let name = "</script><!-- {{style}} & \"a\"";
        let parts = Page { body: "<main></main>", style: "main { margin: 0 }", scripts: &["f();", "g();"] };
        let page = parts.fill(name, &[name]).unwrap();
        assert_eq!(page.matches("</script>").count(), FRAME.matches("</script>").count());
        assert!(page.contains("<title>&lt;/script&gt;&lt;!-- {{style}} &amp; &quot;a&quot;</title>"));
        let (_, data) = page.split_once(r#"id="data">"#).unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert!(!data.contains('<'));
        assert_eq!(serde_json::from_str::<Vec<String>>(data).unwrap(), [name]);
        let plain = parts.fill("t", &0).unwrap();
        assert!([STYLE, parts.body, parts.style, "f();\ng();"].iter().all(|part| plain.contains(part)), "{plain}");
        assert!(!plain.contains("{{"), "every place is filled");
    }

    #[test]
    fn texts_stay_texts() {
        assert_eq!(in_html("<a href='b'>\"&amp;\"</a>"), "&lt;a href=&#39;b&#39;&gt;&quot;&amp;amp;&quot;&lt;/a&gt;");
        assert_eq!(serde_json::from_str::<String>(&in_script("\"</script>\"")).unwrap(), "</script>");
    }
}
