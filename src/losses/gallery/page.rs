//! The text of the gallery.

use std::fmt::Write as _;
use std::sync::Arc;

use imbalance_core::host::Plugin;
use imbalance_core::{Head, ParamKind, ParamSpec};

use super::groups::Group;

/// How a loss is tried, unless its group says otherwise.
const COMMAND: &str = "toolkit dialogue --data FOLDER";

/// The whole page. `about` says what the curves show; the pictures lie in `pictures`, relative to the page.
pub fn page(groups: &[Group], plugins: &[Arc<Plugin>], about: &str, pictures: &str) -> String {
    let plugin = |id: &String| plugins.iter().find(|plugin| plugin.id() == id);
    let mut page = format!(
        "# Losses\n\n<!-- Written by `toolkit losses gallery` from what the plugins declare; changes here are lost. -->\n\n\
         {about}\n\n![Every loss over the likelihood of the true class]({pictures}/overview.svg)\n\n"
    );
    for group in groups {
        let links: Vec<String> = group.ids.iter().map(|id| format!("[{id}](#{id})")).collect();
        let _ = writeln!(page, "- {}: {}", group.title, links.join(", "));
    }
    for group in groups {
        let _ = write!(page, "\n## {}\n", group.title);
        if !group.intro.is_empty() {
            let _ = write!(page, "\n{}\n", group.intro);
        }
        for plugin in group.ids.iter().filter_map(plugin) {
            let command = group.commands.get(plugin.id()).map_or(COMMAND, String::as_str);
            page.push_str(&section(plugin, pictures, command));
        }
    }
    page
}

fn section(plugin: &Plugin, pictures: &str, command: &str) -> String {
    let id = plugin.id();
    let mut text = format!("\n### {id}\n\n```text\n{}\n```\n\n", plugin.formula());
    if !plugin.is_whole_tensor() {
        let _ = write!(text, "![{id}: loss and likelihood gradient]({pictures}/{id}.svg)\n\n");
    }
    if !plugin.params().is_empty() {
        text.push_str("| parameter | default | values | |\n|---|---|---|---|\n");
        for param in plugin.params() {
            let (name, default, values) = (&param.name, default(param), values(param));
            let _ = writeln!(text, "| `--{name}` | {default} | {values} | {} |", cell(&param.help));
        }
        text.push('\n');
    }
    let _ = write!(text, "{}.\n\n", plugin.citation().trim_end_matches('.'));
    let setting = plugin.params().first().map(|param| match &param.kind {
        ParamKind::Flag => format!(" --{}={}", param.name, param.default_text(Head::Softmax)),
        _ => format!(" --{} {}", param.name, param.default_text(Head::Softmax)),
    });
    let _ = write!(text, "```sh\n{command} --loss {id}{}\n```\n", setting.unwrap_or_default());
    text
}

fn default(param: &ParamSpec) -> String {
    let [softmax, sigmoid] = [Head::Softmax, Head::Sigmoid].map(|head| param.default_text(head));
    if softmax == sigmoid { softmax } else { format!("{softmax}; sigmoid head {sigmoid}") }
}

fn values(param: &ParamSpec) -> String {
    match &param.kind {
        ParamKind::Choice(words) => words.join(", "),
        _ => param.expected(),
    }
}

/// Text that does not end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
