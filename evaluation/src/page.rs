//! Pages of HTML that need no other file.

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
    fn texts_stay_texts() {
        assert_eq!(in_html("<a href='b'>\"&amp;\"</a>"), "&lt;a href=&#39;b&#39;&gt;&quot;&amp;amp;&quot;&lt;/a&gt;");
        assert_eq!(serde_json::from_str::<String>(&in_script("\"</script>\"")).unwrap(), "</script>");
    }
}
