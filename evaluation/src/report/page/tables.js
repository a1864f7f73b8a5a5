// Nodes, numbers and tables.

const byId = (id) => document.getElementById(id);

/** An element with text or children. */
function node(name, content, className) {
  const made = document.createElement(name);
  if (Array.isArray(content)) made.append(...content);
  else if (content !== undefined && content !== null) made.textContent = content;
  if (className) made.className = className;
  return made;
}

const several = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/** Four significant digits. */
function brief(value) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
  return value.toFixed(Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(size)))));
}

/** The same without zeros at the end. */
const plain = (value) => String(Number(value.toPrecision(4)));

/** Decimals that suit all of these values. */
function decimals(values) {
  const largest = Math.max(0, ...values.map(Math.abs));
  return largest >= 1000 ? 0 : largest >= 1 ? 2 : 4;
}

const signed = (value, digits) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);

/** A p-value; `least` is the smallest that its test can tell. */
function chance(p, least) {
  if (p < 1e-4) return "p < 0.0001";
  const text = p < 0.001 ? p.toFixed(4) : p < 0.1 ? p.toFixed(3) : p.toFixed(2);
  return `p ${p <= least ? "≤" : "="} ${text}`;
}

/** A table in a box that scrolls; the first cell of each row heads it. */
function table(caption, heads, rows, className) {
  const made = node("table", [], className);
  if (caption) made.append(node("caption", [node("span", caption)]));
  const line = node("tr", heads.map((head) => {
    const cell = head instanceof Node ? head : node("th", head);
    cell.scope = "col";
    return cell;
  }));
  made.append(node("thead", [line]));
  made.append(node("tbody", rows.map((cells) => node("tr", cells.map((cell, at) => {
    if (cell instanceof HTMLTableCellElement) return cell;
    const made = node(at === 0 ? "th" : "td", cell instanceof Node ? [cell] : cell);
    if (at === 0) made.scope = "row";
    return made;
  })))));
  const box = node("div", [made], "scroll");
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", caption || "Table");
  return box;
}

/** A part that is folded away, made when it is opened. */
function folded(title, make) {
  const made = node("details", [node("summary", title)]);
  made.addEventListener("toggle", () => {
    if (made.open && made.childElementCount === 1) made.append(...[make()].flat());
  });
  return made;
}
