const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const svgNode = (name, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};
const node = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};
const percent = (value) => (value === null ? "–" : (100 * value).toFixed(1));
const several = (count, one, many) => `${count} ${count === 1 ? one : many}`;

// Fields of the lists in the data.
const CLASS = 0, X = 1, Y = 2, WIDTH = 3, HEIGHT = 4, CROWD = 5, SCORE = 5, VERDICT = 6;
const IGNORED = -2;
const KINDS = {
  right: "true positive",
  wrong: "false positive",
  ignored: "on a crowd, not counted",
  found: "object, found",
  missed: "object, missed",
  crowd: "crowd",
};

const state = { at: 0, chosen: null, score: data.start_score, order: "missed", listed: [] };

/** The boxes of an image at the chosen class and score, each with what it is. */
function boxesOf(image) {
  const shown = (box) => state.chosen === null || box[CLASS] === state.chosen;
  const found = image.found.filter((box) => box[SCORE] >= state.score);
  const hit = new Set(found.map((box) => box[VERDICT]));
  const objects = image.objects.map((box, place) => ({
    box,
    kind: box[CROWD] ? "crowd" : hit.has(place) ? "found" : "missed",
  }));
  const detections = found.map((box) => ({
    box,
    score: box[SCORE],
    kind: box[VERDICT] >= 0 ? "right" : box[VERDICT] === IGNORED ? "ignored" : "wrong",
  }));
  return {
    objects: objects.filter(({ box }) => shown(box)),
    found: detections.filter(({ box }) => shown(box)),
  };
}

function counted(image) {
  const { objects, found } = boxesOf(image);
  const of = (list, kind) => list.filter((one) => one.kind === kind).length;
  return {
    image,
    boxes: objects.length + found.length,
    objects: objects.length,
    missed: of(objects, "missed"),
    wrong: of(found, "wrong"),
  };
}

/** Lists the images again; the one that is shown stays, if it is still listed. */
function list(keep) {
  const before = state.listed[state.at]?.image;
  const all = data.images.map(counted);
  state.listed = state.chosen === null ? all : all.filter((one) => one.boxes > 0);
  // Stable: of equal counts, the order in the data.
  if (state.order !== "file") state.listed.sort((a, b) => b[state.order] - a[state.order]);
  const place = keep ? state.listed.findIndex((one) => one.image === before) : 0;
  state.at = Math.max(place, 0);
  const items = state.listed.map((one, at) => {
    const item = node("li");
    const button = node("button", one.image.name);
    button.type = "button";
    button.append(node("span", `${one.missed} missed, ${one.wrong} false`));
    button.addEventListener("click", () => go(at));
    item.append(button);
    return item;
  });
  document.querySelector("#images ol").replaceChildren(...items);
  show();
}

function go(at) {
  if (at < 0 || at >= state.listed.length) return;
  state.at = at;
  show();
}

function show() {
  const current = state.listed[state.at];
  byId("previous").disabled = state.at <= 0;
  byId("next").disabled = state.at >= state.listed.length - 1;
  byId("nothing").hidden = Boolean(current);
  for (const id of ["image", "overlay", "boxes"]) byId(id).toggleAttribute("hidden", !current);
  const buttons = document.querySelectorAll("#images ol button");
  buttons.forEach((button, at) => {
    if (at === state.at) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
  if (!current) {
    byId("position").textContent = "no image";
    return;
  }
  const list = document.querySelector("#images ol");
  const item = buttons[state.at];
  // Scrolls the list only, where `scrollIntoView` would move the page too.
  if (item.offsetTop < list.scrollTop + list.offsetTop) list.scrollTop = item.offsetTop - list.offsetTop;
  const below = item.offsetTop + item.offsetHeight - list.offsetTop - list.clientHeight;
  if (below > list.scrollTop) list.scrollTop = below;
  const { image, missed, wrong } = current;
  const img = byId("image");
  img.src = image.source;
  // Small images are enlarged; high ones fit the window.
  const width = `min(${Math.max(image.width, 640)}px, ${(70 * image.width) / image.height}vh)`;
  byId("stage").style.setProperty("--width", width);
  img.alt = `${image.name}: ${several(current.objects, "object", "objects")}, ${missed} missed, ${several(wrong, "false positive", "false positives")}`;
  byId("position").textContent = `${image.name}, ${state.at + 1} of ${state.listed.length}: ${missed} missed, ${wrong} false`;
  draw();
}

function draw() {
  const current = state.listed[state.at];
  if (!current) return;
  const { image } = current;
  const { objects, found } = boxesOf(image);
  const shown = [
    ...(byId("show-objects").checked ? objects : []),
    // The surest on top.
    ...(byId("show-found").checked ? [...found].sort((a, b) => a.score - b.score) : []),
  ];
  const overlay = byId("overlay");
  overlay.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  overlay.setAttribute("preserveAspectRatio", "none");
  // Pixels of the image in one of the screen.
  const scale = image.width / (overlay.clientWidth || image.width);
  const marks = shown.map((one) => mark(one, scale, image));
  // Names over all boxes.
  overlay.replaceChildren(...marks.map((made) => made.box), ...marks.flatMap((made) => made.name ?? []));
  const rows = shown.map((one, at) => row(one, marks[at].box));
  document.querySelector("#boxes tbody").replaceChildren(...rows.reverse());
}

function mark({ box, kind, score }, scale, image) {
  const group = svgNode("g", { class: `box ${kind}` });
  const place = { x: box[X], y: box[Y], width: box[WIDTH], height: box[HEIGHT] };
  group.append(svgNode("rect", { class: "halo", ...place }), svgNode("rect", { class: "line", ...place }));
  if (!byId("show-names").checked || kind === "found") return { box: group };
  const text = data.classes[box[CLASS]].name + (score === undefined ? (kind === "crowd" ? " (crowd)" : "") : ` ${score.toFixed(2)}`);
  const size = 13 * scale;
  // About as wide as its letters; it stays within the image.
  const x = Math.max(Math.min(box[X], image.width - 0.6 * size * text.length), 2 * scale);
  // Missed objects have their names below, where no detection has its own.
  const above = box[Y] > 1.4 * size ? box[Y] - 0.4 * size : box[Y] + 1.1 * size;
  const below = Math.min(box[Y] + box[HEIGHT] + 1.1 * size, image.height - 0.4 * size);
  const name = svgNode("text", { class: "name", x, y: kind === "missed" ? below : above });
  name.style.fontSize = `${size}px`;
  name.textContent = text;
  return { box: group, name };
}

function row({ box, kind, score }, drawn) {
  const made = node("tr");
  made.tabIndex = 0;
  made.append(node("td", data.classes[box[CLASS]].name), node("td", KINDS[kind]));
  made.append(node("td", score === undefined ? "" : score.toFixed(2), "number"));
  const marks = { mouseenter: true, focus: true, mouseleave: false, blur: false };
  for (const [event, on] of Object.entries(marks)) {
    made.addEventListener(event, () => drawn.classList.toggle("marked", on));
  }
  return made;
}

function listClasses() {
  const choice = (name, objects, ap, chosen) => {
    const label = node("label");
    const radio = node("input");
    radio.type = "radio";
    radio.name = "class";
    radio.checked = chosen === null;
    radio.addEventListener("change", () => {
      state.chosen = chosen;
      list(false);
    });
    const count = node("span", objects, "count");
    count.title = "objects in the images of this page";
    const score = node("span", percent(ap), "count");
    score.title = `AP (%) on ${several(data.evaluated, "image", "images")}`;
    label.append(radio, node("span", name, "text"), count, score);
    return label;
  };
  const objects = data.classes.map(() => 0);
  for (const image of data.images) for (const box of image.objects) objects[box[CLASS]] += 1;
  const heading = node("div");
  heading.append(node("span", ""), node("span", "", "text"), node("span", "objects", "count"), node("span", "AP", "count"));
  const each = data.classes
    .map((one, at) => ({ ...one, at }))
    .filter(({ at, ap }) => objects[at] > 0 || ap !== null)
    .map(({ name, ap, at }) => choice(name, objects[at], ap, at));
  const all = choice("all classes", objects.reduce((sum, own) => sum + own, 0), data.ap, null);
  document.querySelector("#classes div").replaceChildren(heading, all, ...each);
}

function setScore(value) {
  state.score = value;
  byId("score-value").textContent = value.toFixed(2);
}

const left = data.evaluated - data.images.length;
byId("summary").textContent =
  `${several(data.images.length, "image", "images")}` +
  (left > 0 ? ` of ${data.evaluated}, spread evenly; ${left} left out` : "") +
  `. AP ${percent(data.ap)}, AP50 ${percent(data.ap50)}${left > 0 ? ` on all ${data.evaluated}` : ""}. Matches at IoU .5.`;
byId("score").min = data.least_score;
byId("score").value = state.score;
setScore(Number(byId("score").value));
listClasses();

byId("score").addEventListener("input", (event) => {
  setScore(Number(event.target.value));
  list(true);
});
byId("order").addEventListener("change", (event) => {
  state.order = event.target.value;
  list(false);
});
for (const id of ["show-objects", "show-found", "show-names"]) byId(id).addEventListener("change", draw);
byId("previous").addEventListener("click", () => go(state.at - 1));
byId("next").addEventListener("click", () => go(state.at + 1));
byId("image").addEventListener("load", draw);
new ResizeObserver(draw).observe(byId("stage"));

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
  // Sliders and radio buttons have their own use for arrows.
  const arrows = target.matches("input:not([type=checkbox])");
  if ((event.key === "ArrowLeft" && !arrows) || event.key === "k") go(state.at - 1);
  else if ((event.key === "ArrowRight" && !arrows) || event.key === "j") go(state.at + 1);
  else if (["g", "p", "n"].includes(event.key)) byId({ g: "show-objects", p: "show-found", n: "show-names" }[event.key]).click();
  else return;
  event.preventDefault();
});

list(false);
