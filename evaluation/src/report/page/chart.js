// One metric over time, on a canvas: drag to zoom, double click to see all, arrows to read values.

const MARGIN = { left: 58, right: 10, top: 6, bottom: 34 };
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
/** Pixels that a pointer moves before it is a drag. */
const DRAG = 6;
/** Lines that a tip names. */
const NAMED = 12;

const colourOf = (group) => getComputedStyle(document.documentElement).getPropertyValue(`--line-${group % 8}`).trim();
const dashOf = (group) => DASHES[Math.floor(group / 8) % DASHES.length];

class Chart {
  /** `view` is what the charts of a task share: axis, smoothing, shown runs, the zoomed range of x by stage. */
  constructor(task, metric, view) {
    Object.assign(this, { task, metric, view, cursor: null, zoomY: null, lines: [], seen: false });
    this.whole = node("button", "Whole range");
    this.whole.type = "button";
    this.whole.addEventListener("click", () => this.reset());
    this.canvas = node("canvas");
    this.overlay = node("canvas");
    this.tip = node("div", undefined, "tip");
    this.tip.hidden = true;
    this.plot = node("div", [this.canvas, this.overlay, this.tip], "plot");
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-roledescription", "chart");
    this.plot.setAttribute("aria-label", `${metric.title}. Left and right arrows read values, plus and minus zoom, 0 shows all.`);
    this.said = node("p", undefined, "unseen");
    this.said.setAttribute("role", "status");
    this.figure = node("figure", [node("figcaption", [node("span", metric.title), this.whole]), this.plot, this.said], "chart");
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.plot);
    // Far below the window nothing needs to be drawn.
    new IntersectionObserver((entries) => {
      this.seen = entries.some((entry) => entry.isIntersecting);
      if (this.seen) this.draw();
    }, { rootMargin: "300px" }).observe(this.plot);
  }

  /** Makes the lines again, after a change of what is shown. */
  update() {
    this.stale = true;
    this.draw();
  }

  makeLines() {
    const { axis, weight, mean, log } = this.view;
    const lines = [];
    this.task.groups.forEach((group, place) => {
      const own = group.runs.filter((run) => this.view.shown.has(run)).flatMap((run) => {
        const track = this.task.tracks.find((one) => one.run === run && one.kind === this.metric.kind && one.stage === this.metric.stage);
        const raw = track ? lineOf(track, this.metric.name, axis) : { x: [] };
        return raw.x.length > 0 ? [{ ...smoothed(raw, weight), raw, group: place, name: this.task.runs[run].name }] : [];
      });
      if (own.length === 0) return;
      const timed = axis === "time";
      if (mean) lines.push({ ...meanOf(own, timed), raw: meanOf(own.map((line) => line.raw), timed), group: place, name: group.name });
      else lines.push(...own);
    });
    this.lines = log ? lines.map(positive).filter((line) => line.x.length > 0) : lines;
    this.stale = false;
  }

  rangeX() {
    const zoomed = this.view.zoom[this.metric.stage];
    if (zoomed) return zoomed;
    const low = Math.min(...this.lines.map((line) => line.x[0]));
    const high = Math.max(...this.lines.map((line) => line.x.at(-1)));
    return low < high ? [low, high] : [low - 0.5, high + 0.5];
  }

  /** The range of y in what is seen of x, in the units of the scale. */
  rangeY([from, to]) {
    if (this.zoomY) return this.zoomY;
    let [low, high] = [Infinity, -Infinity];
    for (const line of this.lines) {
      const end = firstFrom(line.x, to + (to - from) * 1e-9);
      for (let at = firstFrom(line.x, from); at < end; at += 1) {
        low = Math.min(low, line.low ? line.low[at] : line.y[at]);
        high = Math.max(high, line.high ? line.high[at] : line.y[at]);
      }
    }
    if (low > high) return [0, 1];
    [low, high] = [this.scale(low), this.scale(high)];
    const room = (high - low) * 0.05 || Math.abs(low) * 0.05 || 0.5;
    return [low - room, high + room];
  }

  scale(value) {
    return this.view.log ? Math.log10(value) : value;
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!this.seen || width === 0) return;
    if (this.stale !== false) this.makeLines();
    const context = sized(this.canvas, width, height);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.font = "12px system-ui, sans-serif";
    const zoomed = Boolean(this.view.zoom[this.metric.stage] || this.zoomY);
    this.whole.style.visibility = zoomed ? "visible" : "hidden";
    if (this.lines.length === 0) {
      this.place = null;
      context.fillStyle = colour("--quiet");
      context.fillText("No run that is shown has values here.", MARGIN.left, height / 2);
      this.point();
      return;
    }
    const [left, right] = this.rangeX();
    const [low, high] = this.rangeY([left, right]);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const toX = (x) => MARGIN.left + ((x - left) / (right - left)) * inner.width;
    const toY = (y) => MARGIN.top + (1 - (this.scale(y) - low) / (high - low)) * inner.height;
    this.place = { left, right, low, high, inner, toX, toY, width, height };
    this.drawAxes(context, colour);
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, MARGIN.top, inner.width, inner.height);
    context.clip();
    for (const line of this.lines) this.drawLine(context, line);
    context.restore();
    this.point();
  }

  drawAxes(context, colour) {
    const { left, right, low, high, inner, toX, width, height } = this.place;
    const unit = this.view.axis === "time" ? timeUnit(right) : { name: this.view.axis === "step" ? "step" : "epoch", size: 1 };
    const across = ticks(left / unit.size, right / unit.size, Math.max(2, inner.width / 80));
    const up = this.view.log ? powers(low, high) : ticks(low, high, Math.max(2, inner.height / 45));
    context.strokeStyle = colour("--grid");
    context.fillStyle = colour("--quiet");
    context.lineWidth = 1;
    context.beginPath();
    context.textAlign = "center";
    for (const tick of across) {
      const x = Math.round(toX(tick * unit.size)) + 0.5;
      context.moveTo(x, MARGIN.top);
      context.lineTo(x, MARGIN.top + inner.height);
      context.fillText(tickText(tick, across), Math.min(x, width - 14), MARGIN.top + inner.height + 14);
    }
    context.fillText(unit.name, MARGIN.left + inner.width / 2, height - 4);
    context.textAlign = "right";
    for (const tick of up) {
      const y = Math.round(MARGIN.top + (1 - (tick - low) / (high - low)) * inner.height) + 0.5;
      context.moveTo(MARGIN.left, y);
      context.lineTo(MARGIN.left + inner.width, y);
      context.fillText(this.view.log ? plain(10 ** tick) : tickText(tick, up), MARGIN.left - 6, y + 4);
    }
    context.stroke();
  }

  drawLine(context, line) {
    const { left, right, inner, toX, toY } = this.place;
    const places = drawn(line, left, right, Math.ceil(inner.width));
    context.strokeStyle = context.fillStyle = colourOf(line.group);
    if (line.low && places.length > 1) {
      context.globalAlpha = 0.18;
      context.beginPath();
      places.forEach((at) => context.lineTo(toX(line.x[at]), toY(line.high[at])));
      places.toReversed().forEach((at) => context.lineTo(toX(line.x[at]), toY(line.low[at])));
      context.fill();
      context.globalAlpha = 1;
    }
    context.lineWidth = 1.8;
    context.lineJoin = "round";
    const stroke = ({ x, y }, at) => {
      context.beginPath();
      at.forEach((place) => context.lineTo(toX(x[place]), toY(y[place])));
      context.stroke();
    };
    if (this.view.weight > 0 && !line.low && !this.view.log) {
      context.globalAlpha = 0.25;
      stroke(line.raw, drawn(line.raw, left, right, Math.ceil(inner.width)));
      context.globalAlpha = 1;
    }
    context.setLineDash(dashOf(line.group));
    stroke(line, places);
    context.setLineDash([]);
    // Few points are seen each; a single one would be no line.
    if (places.length <= Math.min(40, inner.width / 12)) {
      for (const at of places) {
        context.beginPath();
        context.arc(toX(line.x[at]), toY(line.y[at]), 2.6, 0, 7);
        context.fill();
      }
    }
  }

  /** Draws the cursor, the range that is dragged, and the tip. */
  point() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    const context = sized(this.overlay, width, height);
    this.tip.hidden = true;
    if (!this.place) return;
    if (this.drag?.moved) {
      const { x, y, w, h } = this.dragged();
      context.fillStyle = context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
      context.globalAlpha = 0.15;
      context.fillRect(x, y, w, h);
      context.globalAlpha = 1;
      context.strokeRect(x, y, w, h);
      return;
    }
    if (this.cursor === null || this.cursor < this.place.left || this.cursor > this.place.right) return;
    const { toX, toY, left, right } = this.place;
    const found = this.lines
      .map((line) => ({ line, at: nearest(line.x, this.cursor) }))
      .filter(({ line, at }) => line.x[at] >= left && line.x[at] <= right && Math.abs(toX(line.x[at]) - toX(this.cursor)) < 60)
      .map(({ line, at }) => ({ line, at, x: toX(line.x[at]), y: toY(line.y[at]) }));
    if (found.length === 0) return;
    const height0 = this.cursorY ?? found[0].y;
    const near = found.reduce((best, one) => (Math.abs(one.y - height0) < Math.abs(best.y - height0) ? one : best));
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--quiet");
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(near.x, MARGIN.top);
    context.lineTo(near.x, MARGIN.top + this.place.inner.height);
    context.stroke();
    context.setLineDash([]);
    for (const { line, x, y } of found) {
      context.fillStyle = colourOf(line.group);
      context.beginPath();
      context.arc(x, y, line === near.line ? 4.5 : 3, 0, 7);
      context.fill();
    }
    this.showTip(found, near, height0);
  }

  showTip(found, near, height) {
    const named = found
      .toSorted((a, b) => Math.abs(a.y - height) - Math.abs(b.y - height))
      .slice(0, NAMED)
      .sort((a, b) => a.y - b.y);
    const value = ({ line, at }) => {
      const spread = line.count && line.count[at] > 1 ? ` ± ${brief(line.high[at] - line.y[at])} (${line.count[at]})` : "";
      return brief(line.y[at]) + spread;
    };
    const rows = named.map((one) => {
      const name = node("span", [swatch(one.line.group), one.line.name]);
      return node("div", [name, node("span", value(one))], one === near ? "near" : undefined);
    });
    const left = found.length - named.length;
    const where = this.whereText(near.line, near.at);
    this.tip.replaceChildren(node("div", [node("span", where)]), ...rows, ...(left > 0 ? [node("div", `and ${left} more`)] : []));
    this.tip.hidden = false;
    const { width } = this.place;
    const room = near.x + 14 + this.tip.offsetWidth <= width;
    const x = room ? near.x + 14 : Math.max(0, near.x - 14 - this.tip.offsetWidth);
    this.tip.style.left = `${x}px`;
    this.tip.style.top = `${Math.max(0, Math.min(near.y - this.tip.offsetHeight / 2, this.plot.clientHeight - this.tip.offsetHeight))}px`;
    if (this.spoken) {
      this.said.textContent = `${where}: ${named.map((one) => `${one.line.name} ${value(one)}`).join(", ")}`;
    }
  }

  whereText(line, at) {
    const step = `step ${line.step[at]}`;
    if (this.view.axis === "step") return step;
    if (this.view.axis === "epoch") return `epoch ${plain(line.x[at])}, ${step}`;
    const unit = timeUnit(this.place.right);
    return `${plain(line.x[at] / unit.size)} ${unit.name}, ${step}`;
  }

  listen() {
    const at = (event) => {
      const box = this.plot.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.place) return;
      this.plot.setPointerCapture(event.pointerId);
      this.drag = { from: at(event), to: at(event), moved: false, touch: event.pointerType !== "mouse" };
    });
    this.plot.addEventListener("pointermove", (event) => {
      if (!this.place) return;
      const here = at(event);
      if (this.drag) {
        this.drag.to = here;
        this.drag.moved ||= Math.abs(here.x - this.drag.from.x) > DRAG || (!this.drag.touch && Math.abs(here.y - this.drag.from.y) > DRAG);
      }
      this.spoken = false;
      this.cursor = this.toValue(here.x);
      this.cursorY = here.y;
      this.point();
    });
    this.plot.addEventListener("pointerup", (event) => {
      const { drag } = this;
      this.drag = null;
      if (drag?.moved) this.zoomTo(drag);
      else if (drag?.touch) {
        this.cursor = this.toValue(at(event).x);
        this.cursorY = at(event).y;
        this.point();
      }
    });
    this.plot.addEventListener("pointercancel", () => {
      this.drag = null;
      this.point();
    });
    this.plot.addEventListener("pointerleave", () => {
      if (this.drag) return;
      this.cursor = null;
      this.point();
    });
    this.plot.addEventListener("dblclick", () => this.reset());
    this.plot.addEventListener("blur", () => {
      this.cursor = null;
      this.point();
    });
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  toValue(x) {
    const { left, right, inner } = this.place;
    return left + ((x - MARGIN.left) / inner.width) * (right - left);
  }

  /** The box that is dragged; one that is low is a range of x. */
  dragged() {
    const { from, to, touch } = this.drag;
    const { inner } = this.place;
    const clip = (value, start, length) => Math.max(start, Math.min(start + length, value));
    const xs = [from.x, to.x].map((x) => clip(x, MARGIN.left, inner.width)).sort((a, b) => a - b);
    const ys = [from.y, to.y].map((y) => clip(y, MARGIN.top, inner.height)).sort((a, b) => a - b);
    const flat = touch || ys[1] - ys[0] < 25;
    const narrow = !flat && xs[1] - xs[0] < 25;
    return {
      x: narrow ? MARGIN.left : xs[0],
      w: narrow ? inner.width : xs[1] - xs[0],
      y: flat ? MARGIN.top : ys[0],
      h: flat ? inner.height : ys[1] - ys[0],
      flat,
      narrow,
    };
  }

  zoomTo(drag) {
    this.drag = drag;
    const { x, y, w, h, flat, narrow } = this.dragged();
    this.drag = null;
    const { low, high, inner } = this.place;
    if (!flat) {
      const value = (at) => low + (1 - (at - MARGIN.top) / inner.height) * (high - low);
      this.zoomY = [value(y + h), value(y)];
    }
    if (!narrow && w > 0) this.setX([this.toValue(x), this.toValue(x + w)]);
    this.draw();
  }

  /** Zooms all charts of the stage alike. */
  setX(range) {
    this.view.zoom[this.metric.stage] = range;
    this.view.redraw();
  }

  reset() {
    this.zoomY = null;
    this.setX(null);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.place) return;
    const { left, right } = this.place;
    const longest = this.lines.reduce((best, line) => (line.x.length > best.x.length ? line : best));
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const end = { Home: left, End: right }[event.key];
    if (step !== undefined || end !== undefined) {
      const now = end ?? this.cursor;
      let at = now === null || now < left || now > right ? firstFrom(longest.x, left) : nearest(longest.x, now);
      if (now !== null && step !== undefined) at += step;
      at = Math.max(0, Math.min(longest.x.length - 1, at));
      this.cursor = Math.max(left, Math.min(right, longest.x[at]));
      this.spoken = true;
      this.point();
    } else if (["+", "=", "-"].includes(event.key)) {
      const middle = this.cursor ?? (left + right) / 2;
      const factor = event.key === "-" ? 2 : 0.5;
      this.setX([middle - (middle - left) * factor, middle + (right - middle) * factor]);
    } else if (event.key === "0" || event.key === "Escape") this.reset();
    else return;
    event.preventDefault();
  }
}

/** What of a line a logarithmic scale can show. */
function positive(line) {
  const keep = line.y.map((value, at) => (value > 0 && (!line.low || line.low[at] > 0) ? at : -1)).filter((at) => at >= 0);
  const of = (values) => values && keep.map((at) => values[at]);
  return { ...line, x: of(line.x), y: of(line.y), step: of(line.step), low: of(line.low), high: of(line.high), count: of(line.count) };
}

/** Powers of ten between, or round numbers where they would be too few. */
function powers(low, high) {
  const whole = ticks(Math.ceil(low), Math.floor(high), Math.max(1, Math.min(6, Math.floor(high) - Math.ceil(low))));
  if (high - low >= 2) return whole.filter((tick) => Number.isInteger(tick) && tick >= low && tick <= high);
  return ticks(10 ** low, 10 ** high, 5).filter((tick) => tick > 0).map(Math.log10);
}

function timeUnit(seconds) {
  if (seconds < 300) return { name: "s", size: 1 };
  return seconds < 4 * 3600 ? { name: "min", size: 60 } : { name: "h", size: 3600 };
}

/** The canvas's context, in CSS pixels, empty. */
function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** A piece of a group's line. */
function swatch(group) {
  const made = node("span", undefined, "swatch");
  const dash = dashOf(group);
  const colour = `var(--line-${group % 8})`;
  const total = dash.reduce((sum, one) => sum + one, 0);
  let at = 0;
  const parts = dash.map((length, place) => {
    const part = `${place % 2 ? "transparent" : colour} ${at}px ${at + length}px`;
    at += length;
    return part;
  });
  made.style.background = `${total ? `repeating-linear-gradient(90deg, ${parts.join(", ")})` : colour}`;
  made.style.height = "3px";
  return made;
}
