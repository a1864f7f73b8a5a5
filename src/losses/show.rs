//! `toolkit losses show`: everything that a plugin says of itself, and where it is.

use std::io::Write as _;

use clap::{Arg, ArgMatches, Command};
use imbalance_core::host::{Plugin, SearchPath};
use imbalance_core::{Head, ParamKind, ParamSpec};
use serde_json::{Value, json};

use super::json_arg;
use super::text::hanging;
use crate::loss_flags::plugin_dir_arg;

/// The verb's flags.
pub fn command() -> Command {
    Command::new("show")
        .about("Formula, parameters, citation and file of a loss")
        .arg(Arg::new("id").value_name("ID").required(true).help("The loss"))
        .arg(json_arg())
        .arg(plugin_dir_arg())
}

/// Prints what the plugin of the id says.
///
/// # Errors
/// It is not found or cannot be used, or standard output cannot be written.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let id = matches.get_one::<String>("id").map_or("", String::as_str);
    let plugin = search.open(id)?;
    let text = if matches.get_flag("json") {
        serde_json::to_string_pretty(&as_json(&plugin)?)? + "\n"
    } else {
        as_text(&plugin)?
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn as_text(plugin: &Plugin) -> anyhow::Result<String> {
    let (major, minor) = plugin.abi();
    let mut lines = vec![format!("{} {}", plugin.id(), plugin.version()), String::new()];
    lines.push(format!("    {}", plugin.formula()));
    lines.push(String::new());
    lines.push(hanging("", plugin.citation()));
    lines.push(String::new());
    if plugin.params().is_empty() {
        lines.push("No parameters.".into());
    } else {
        lines.push("Parameters".into());
        let width = plugin.params().iter().map(|param| param.name.len()).max().unwrap_or(0) + 6;
        for param in plugin.params() {
            lines.push(hanging(&format!("  {:<width$}", format!("--{}", param.name)), &param.help));
            lines.push(hanging(&format!("  {:width$}", ""), &format!("{}; {}", param.expected(), defaults(param))));
        }
    }
    lines.push(String::new());
    let mut can = if plugin.is_whole_tensor() { Vec::new() } else { vec!["float64 evaluation"] };
    can.extend(plugin.capabilities()?);
    for (name, value) in [
        ("File", plugin.path().map(|path| path.display().to_string()).unwrap_or_default()),
        ("SHA-256", plugin.sha256().unwrap_or_default().to_owned()),
        ("ABI", format!("{major}.{minor}")),
        ("Offers", can.join(", ")),
    ] {
        lines.push(hanging(&format!("{name:<9}"), &value));
    }
    Ok(lines.join("\n") + "\n")
}

fn defaults(param: &ParamSpec) -> String {
    let [softmax, sigmoid] = [Head::Softmax, Head::Sigmoid].map(|head| param.default_text(head));
    if softmax == sigmoid {
        format!("default {softmax}")
    } else {
        format!("default {softmax}, on a sigmoid head {sigmoid}")
    }
}

fn as_json(plugin: &Plugin) -> anyhow::Result<Value> {
    let (major, minor) = plugin.abi();
    Ok(json!({
        "id": plugin.id(),
        "version": plugin.version(),
        "formula": plugin.formula(),
        "citation": plugin.citation(),
        "parameters": plugin.params().iter().map(param_json).collect::<Vec<_>>(),
        "path": plugin.path(),
        "sha256": plugin.sha256(),
        "abi": format!("{major}.{minor}"),
        "capabilities": plugin.capabilities()?,
    }))
}

/// A parameter's declaration; bounds that are missing are null.
fn param_json(param: &ParamSpec) -> Value {
    let value = |value: f64| match &param.kind {
        ParamKind::Number { .. } => json!(value),
        ParamKind::Flag => json!(value != 0.0),
        ParamKind::Choice(_) => json!(param.text(value)),
    };
    let mut whole = json!({
        "name": param.name,
        "help": param.help,
        "kind": match &param.kind {
            ParamKind::Number { .. } => "number",
            ParamKind::Flag => "flag",
            ParamKind::Choice(_) => "choice",
        },
        "expected": param.expected(),
        "default": { "softmax": value(param.defaults[0]), "sigmoid": value(param.defaults[1]) },
    });
    match &param.kind {
        ParamKind::Number { minimum, maximum } => {
            let bound = |(value, inclusive): (f64, bool)| {
                if value.is_finite() { json!({ "value": value, "inclusive": inclusive }) } else { Value::Null }
            };
            whole["minimum"] = bound(*minimum);
            whole["maximum"] = bound(*maximum);
        }
        ParamKind::Choice(choices) => whole["choices"] = json!(choices),
        ParamKind::Flag => {}
    }
    whole
}
