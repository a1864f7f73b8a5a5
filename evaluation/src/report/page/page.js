// The page: a section for each task.

const data = JSON.parse(byId("data").textContent);
const NAMES = { vision: "Vision", dialogue: "Dialogue", detection: "Detection" };
const KINDS = { valid: "validation", epoch: "whole epoch", train: "training" };
const TEST_UNITS = { images: "test images", replies: "replies", seeds: "equal seeds" };

function groupCell(task, place) {
  const cell = node("th", [swatch(place), task.groups[place].name]);
  cell.scope = "row";
  return cell;
}

function runTable(task) {
  const rows = task.groups.map((group, place) => {
    const runs = group.runs.map((run) => task.runs[run]);
    const each = (text) => [...new Set(runs.map(text))].join(", ");
    return [
      groupCell(task, place),
      each((run) => run.loss ?? "–"),
      runs.map((run) => run.seed ?? "–").join(", "),
      each((run) => run.state),
      node("td", runs.map((run) => run.name).join(", "), "value"),
    ];
  });
  return table("Runs that differ in their seed only are one group.", ["Group", "Loss", "Seeds", "State", "Runs"], rows);
}

/** Places of the best rows in a score, of each stage its own. */
function bestRows(scores, at) {
  const best = new Set();
  const { more } = scores.scores[at];
  if (more === null) return best;
  for (const stage of new Set(scores.rows.map((row) => row.stage))) {
    const there = scores.rows.map((row, place) => ({ row, place })).filter(({ row }) => row.stage === stage && row.values[at]);
    if (there.length < 2) continue;
    const means = there.map(({ row }) => row.values[at].mean);
    const top = more ? Math.max(...means) : Math.min(...means);
    for (const { row, place } of there) if (row.values[at].mean === top) best.add(place);
  }
  return best;
}

function scoreCell(value, digits, isBest, marked) {
  if (!value) return node("td", "–", marked ? "number blank" : "number");
  const cell = node("td", value.mean.toFixed(digits), isBest ? "number best" : marked ? "number blank" : "number");
  if (value.sd !== null) cell.append(node("small", ` ± ${value.sd.toFixed(digits)}`));
  if (isBest) cell.title = "best";
  return cell;
}

function scoreHead({ name, more }) {
  const head = node("th", more === null ? name : `${name} ${more ? "↑" : "↓"}`, "number");
  if (more !== null) head.title = more ? "more is better" : "less is better";
  return head;
}

const epochText = ({ stage, epochs }) => {
  const all = [...new Set(epochs)];
  return all.length === 0 ? stage : `${stage} (${all.join(", ")})`;
};

function scoreTables(task) {
  const { scores } = task;
  if (scores.rows.length === 0) return [node("p", "No run is finished, so there are no scores.", "quiet")];
  const columns = scores.scores.map((score, at) => {
    const means = scores.rows.flatMap((row) => (row.values[at] ? [row.values[at].mean] : []));
    return { score, at, digits: decimals(means), best: bestRows(scores, at) };
  });
  const cell = (column, place) => scoreCell(scores.rows[place].values[column.at], column.digits, column.best.has(place), column.score.more !== null);
  const headline = columns.filter(({ score }) => score.headline);
  const rows = scores.rows.map((row, place) => [
    groupCell(task, row.group),
    node("td", epochText(row)),
    node("td", row.runs, "number"),
    ...headline.map((column) => cell(column, place)),
  ]);
  const caption = "Mean ± standard deviation over the runs of a group; ★ the best of its column and kind of epoch.";
  const short = table(caption, ["Group", "Scored", node("th", "Runs", "number"), ...headline.map(({ score }) => scoreHead(score))], rows, "wide");
  const whole = folded(`Every score (${columns.length})`, () => table(
    "",
    ["Score", ...scores.rows.map((row) => node("th", `${task.groups[row.group].name}, ${row.stage}`, "number"))],
    columns.map((column) => [
      `${column.score.name}${column.score.more === null ? "" : column.score.more ? " ↑" : " ↓"}`,
      ...scores.rows.map((_, place) => cell(column, place)),
    ]),
    "wide",
  ));
  const chosen = "Best epochs were chosen by the examples that they are scored on, so their scores are too good.";
  return [short, ...(scores.chosen_by_test ? [node("p", chosen, "quiet")] : []), whole];
}

/** The differences of all groups to one, in a table for each kind of pairs. */
function testTables(task) {
  const { tests, notes } = task.comparison;
  const said = notes.length ? [node("ul", notes.map((note) => node("li", note)), "notes")] : [];
  if (task.groups.length < 2) return [node("p", "There is one group of runs, so nothing to compare.", "quiet")];
  if (tests.length === 0) return [node("p", "No difference can be tested.", "quiet"), ...said];
  const choice = node("select", task.groups.map((group, place) => {
    const option = node("option", group.name);
    option.value = place;
    return option;
  }));
  const counted = task.groups.map((_, place) => tests.filter((test) => test.first === place || test.second === place).length);
  choice.value = counted.indexOf(Math.max(...counted));
  const label = node("label", ["Difference to ", choice]);
  const box = node("div");
  const show = () => {
    const base = Number(choice.value);
    // Of the other group less the chosen one.
    const own = tests.flatMap((test) => {
      if (test.second === base) return [{ ...test, other: test.first }];
      if (test.first !== base) return [];
      return [{ ...test, other: test.second, difference: -test.difference, lower: -test.upper, upper: -test.lower }];
    });
    const parts = ["images", "replies", "seeds"].flatMap((unit) => {
      const those = own.filter((test) => test.unit === unit);
      return those.length ? [testTable(task, those, unit)] : [];
    });
    box.replaceChildren(...(parts.length ? parts : [node("p", "Nothing was tested against this group.", "quiet")]));
  };
  choice.addEventListener("change", show);
  show();
  const warning = node("p", "The interval is of 95 %. Bold: p below 0.05, for a single comparison; among many, one in twenty falls below by chance.", "quiet");
  return [node("div", [label], "bar"), box, warning, ...said];
}

function testTable(task, tests, unit) {
  const scores = [...new Set(tests.map((test) => test.score))];
  const groups = [...new Set(tests.map((test) => test.other))].sort((a, b) => a - b);
  const methods = [...new Set(tests.map((test) => test.method))];
  const of = (method) => {
    const own = tests.filter((test) => test.method === method);
    const pairs = [...new Set(own.map((test) => test.pairs))].join(", ");
    const names = methods.length > 1 ? `${[...new Set(own.map((test) => test.score))].join(", ")}: ` : "";
    return `${names}${method} over ${pairs} ${TEST_UNITS[unit]}`;
  };
  const rows = groups.map((group) => [
    groupCell(task, group),
    ...scores.map((score) => {
      const test = tests.find((one) => one.other === group && one.score === score);
      if (!test) return node("td", "–", "number");
      // None of the resamples is on the other side.
      const least = test.method.includes("bootstrap") ? 2.001 / (task.comparison.resamples + 1) : 0;
      const digits = Math.max(Math.abs(test.lower), Math.abs(test.upper)) < 0.1 ? 4 : 2;
      const cell = node("td", signed(test.difference, digits), test.p < 0.05 ? "number sure" : "number");
      cell.append(node("br"), node("small", `${signed(test.lower, digits)} to ${signed(test.upper, digits)}`), node("br"), node("small", chance(test.p, least)));
      cell.title = test.method;
      return cell;
    }),
  ]);
  const caption = `${methods.map(of).join("; ")}.`;
  return table(caption[0].toUpperCase() + caption.slice(1), ["Group", ...scores.map((score) => node("th", score, "number"))], rows, "wide");
}

function settingTables(task) {
  const { differing, common } = task.settings;
  const parts = [];
  if (differing.length === 0) parts.push(node("p", "All runs have the same settings.", "quiet"));
  else {
    const heads = ["Setting", ...task.groups.map((group, place) => node("th", [swatch(place), group.name]))];
    const rows = differing.map(({ key, values }) => [key, ...values.map((value) => node("td", value ?? "–", "value"))]);
    parts.push(table("Only what differs; in brackets, what is no setting.", heads, rows, "wide"));
  }
  parts.push(folded(`Settings that all share (${common.length})`, () => table("", ["Setting", "Value"], common.map(([key, value]) => [key, node("td", value, "value")]))));
  parts.push(folded("Versions, plugins, machine and command of each run", () => task.runs.map(originTable)));
  return parts;
}

function originTable(run) {
  const { manifest } = run;
  const quoted = (words) => (words ?? []).map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
  const rows = [
    ["Folder", run.folder],
    ["Command", quoted(manifest.command)],
    ["Started", manifest.started],
    ...(manifest.resumed ?? []).map((one) => ["Resumed", `${one.time}: ${quoted(one.command)}`]),
    ["Versions", ["toolkit", "rustc", "libtorch", "tch"].map((name) => `${name} ${manifest[name]}`).join(", ")],
    ["Machine", manifest.host && `${manifest.host.cpu}, ${several(manifest.host.cpus, "CPU", "CPUs")}, ${manifest.host.system}`],
    ["Threads", manifest.threads],
    ...(manifest.plugins ?? []).map((plugin) => [`Plugin ${plugin.id}`, `${plugin.path}, SHA-256 ${plugin.sha256}`]),
    ...Object.entries(manifest.data ?? {}).map(([name, sha256]) => [`Data ${name}`, `SHA-256 ${sha256}`]),
  ];
  return table(run.name, ["", ""], rows.map(([name, value]) => [name, node("td", value ?? "–", "value")]));
}

/** The metrics that any run has, validations first. */
function metricsOf(task) {
  const order = ["valid", "epoch", "train"];
  const found = new Map();
  for (const { kind, stage, values } of task.tracks) {
    for (const [name, column] of values) {
      if (!column.some((value) => value !== null)) continue;
      const title = `${stage === 2 ? "second stage, " : ""}${KINDS[kind] ?? kind}: ${name.replaceAll("_", " ")}`;
      found.set(`${stage} ${kind} ${name}`, { kind, stage, name, title });
    }
  }
  const last = (metric) => Number(metric.name.endsWith("_per_second") || metric.name === "validation");
  const main = (metric) => Number(!["accuracy", "AP", "perplexity"].includes(metric.name));
  const place = (metric) => (order.indexOf(metric.kind) + 4) % 4;
  return [...found.values()].sort((a, b) => a.stage - b.stage || last(a) - last(b) || place(a) - place(b) || main(a) - main(b));
}

function curves(task, number) {
  const metrics = metricsOf(task);
  if (metrics.length === 0) return [node("p", "No run has metrics.", "quiet")];
  const repeated = task.groups.some((group) => group.runs.length > 1);
  const view = { axis: "epoch", weight: 0, mean: repeated, log: false, shown: new Set(task.runs.keys()), zoom: {} };
  const charts = metrics.map((metric) => new Chart(task, metric, view));
  view.redraw = () => charts.forEach((chart) => chart.draw());
  const update = () => charts.forEach((chart) => chart.update());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", view.redraw);
  // On paper there is no scrolling to a chart.
  addEventListener("beforeprint", () => charts.forEach((chart) => {
    chart.seen = true;
    chart.draw();
  }));

  const axes = node("fieldset", [node("legend", "Over"), ...["epoch", "step", "time"].map((axis) => {
    const radio = node("input");
    Object.assign(radio, { type: "radio", name: `axis-${number}`, checked: axis === view.axis });
    radio.addEventListener("change", () => {
      view.axis = axis;
      view.zoom = {};
      for (const chart of charts) chart.cursor = null;
      update();
    });
    return node("label", [radio, axis]);
  })]);
  const box = (text, checked, change) => {
    const input = node("input");
    Object.assign(input, { type: "checkbox", checked });
    input.addEventListener("change", () => {
      change(input.checked);
      for (const chart of charts) chart.zoomY = null;
      update();
    });
    return node("label", [input, text]);
  };
  const slider = node("input");
  Object.assign(slider, { type: "range", min: 0, max: 0.99, step: 0.01, value: 0 });
  const strength = node("output", "0");
  slider.addEventListener("input", () => {
    view.weight = Number(slider.value);
    strength.textContent = slider.value;
    update();
  });
  const bar = node("div", [
    axes,
    node("label", ["Smoothing", slider, strength]),
    ...(repeated ? [box("Mean of seeds, with standard deviation", true, (on) => { view.mean = on; })] : []),
    box("Logarithmic", false, (on) => { view.log = on; }),
  ], "bar");
  const help = node("p", "Drag to zoom, double click to see all. A click on a name hides or shows it, with Shift it alone.", "quiet");
  return [bar, help, legend(task, view, update), node("div", charts.map((chart) => chart.figure), "charts")];
}

/** A button for each group, and for each run of one that has several. */
function legend(task, view, update) {
  const buttons = [];
  const make = (content, title, runs) => {
    const button = node("button", content);
    Object.assign(button, { type: "button", title });
    button.addEventListener("click", (event) => {
      const alone = event.shiftKey || event.altKey;
      const on = alone || !runs.some((run) => view.shown.has(run));
      if (alone) view.shown.clear();
      for (const run of runs) on ? view.shown.add(run) : view.shown.delete(run);
      press();
    });
    buttons.push({ button, runs });
    return button;
  };
  const press = () => {
    for (const { button, runs } of buttons) button.setAttribute("aria-pressed", runs.some((run) => view.shown.has(run)));
    update();
  };
  const groups = task.groups.map((group, place) => {
    const whole = make([swatch(place), group.name], `Show or hide ${group.name}`, group.runs);
    const single = group.runs.length > 1 ? group.runs.map((run) => make(`${task.runs[run].seed ?? task.runs[run].name}`, `Show or hide ${task.runs[run].name}`, [run])) : [];
    return node("span", [whole, ...single]);
  });
  const all = node("button", "All");
  all.type = "button";
  all.addEventListener("click", () => {
    for (const run of task.runs.keys()) view.shown.add(run);
    press();
  });
  const made = node("div", [...(task.groups.length > 1 ? [all] : []), ...groups], "legend");
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", "Runs in the curves");
  press();
  return made;
}

function pictureParts(task) {
  return task.pictures.map(({ name, of }) => folded(`${name} (${of.length})`, () => node("div", of.map(([run, source]) => {
    const image = node("img");
    image.src = source;
    image.alt = `${name} of ${task.runs[run].name}`;
    return node("figure", [node("figcaption", task.runs[run].name), image]);
  }), "pictures")));
}

function section(task, number) {
  const parts = [];
  if (data.tasks.length > 1) parts.push(node("h2", NAMES[task.task] ?? "Unknown task"));
  const add = (title, content) => {
    if (content.length) parts.push(node("h3", title), ...content);
  };
  add("Runs", [runTable(task)]);
  if (task.task) {
    add("Scores", scoreTables(task));
    add("How sure the differences are", testTables(task));
  }
  add("Settings", settingTables(task));
  add("Curves", curves(task, number));
  add("Pictures", pictureParts(task));
  const made = node("section", parts);
  made.id = `task-${number}`;
  return made;
}

const runCount = data.tasks.reduce((sum, task) => sum + task.runs.length, 0);
const groupCount = data.tasks.reduce((sum, task) => sum + task.groups.length, 0);
byId("summary").textContent = `${several(runCount, "run", "runs")} in ${several(groupCount, "group", "groups")}: ${data.tasks.map((task) => `${task.runs.length} × ${task.task ?? "unknown task"}`).join(", ")}.`;
if (data.notes.length) byId("summary").after(node("ul", data.notes.map((note) => node("li", note)), "notes"));
byId("tasks").append(...data.tasks.map(section));
if (data.tasks.length > 1) {
  const links = data.tasks.map((task, number) => {
    const link = node("a", NAMES[task.task] ?? "Unknown task");
    link.href = `#task-${number}`;
    return link;
  });
  const nav = node("nav", links, "bar");
  nav.setAttribute("aria-label", "Tasks");
  byId("summary").after(nav);
}
