//! Text for people: paragraphs with a hanging indent.

/// Columns of the output.
const WIDTH: usize = 100;

/// `head` followed by `body`, whose further lines stand under its first.
pub fn hanging(head: &str, body: &str) -> String {
    let indent = head.chars().count();
    let (mut text, mut column) = (head.to_owned(), indent);
    for (at, word) in body.split_whitespace().enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if at > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_hang_below_their_first_word() {
        let text = hanging("  head  ", &"word ".repeat(30));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(lines[0].starts_with("  head  word") && lines[1].starts_with("        word"));
        assert_eq!(hanging("a ", ""), "a ");
    }
}
