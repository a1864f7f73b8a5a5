// Lines of charts, from the columns of records. Each has the arrays x, y and step; a mean over seeds also low, high and count.

/** The values of a metric that are numbers, over an axis: "epoch", "step" or "time". */
function lineOf(track, metric, axis) {
  const values = track.values.find(([name]) => name === metric)?.[1];
  const line = { x: [], y: [], step: [] };
  if (!values) return line;
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] === null) continue;
    line.x.push(track[axis][at]);
    line.y.push(values[at]);
    line.step.push(track.step[at]);
  }
  return line;
}

/** The exponential moving average, without the pull of the start towards zero. */
function smoothed(line, weight) {
  if (weight === 0) return line;
  let [sum, share] = [0, 0];
  const y = line.y.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return sum / share;
  });
  return { ...line, y };
}

/**
 * Mean and standard deviation at each step that a line has, over the lines that have it. `timed` says that x is a time: then it
 * grows by the mean time of a step, as the mean of the times would fall back where a faster run goes on alone.
 */
function meanOf(lines, timed) {
  if (lines.length === 1) return lines[0];
  const at = new Map();
  for (const line of lines) {
    line.step.forEach((step, place) => {
      const known = at.get(step) ?? { count: 0, x: 0, y: 0, squares: 0 };
      at.set(step, known);
      known.count += 1;
      known.x += timed ? slope(line, place) : line.x[place];
      known.y += line.y[place];
      known.squares += line.y[place] ** 2;
    });
  }
  const mean = { x: [], y: [], step: [], low: [], high: [], count: [] };
  for (const [step, { count, x, y, squares }] of [...at].sort((a, b) => a[0] - b[0])) {
    const middle = y / count;
    const sd = count > 1 ? Math.sqrt(Math.max(0, (squares - count * middle * middle) / (count - 1))) : 0;
    mean.x.push(timed ? (mean.x.at(-1) ?? 0) + (x / count) * (step - (mean.step.at(-1) ?? 0)) : x / count);
    mean.y.push(middle);
    mean.step.push(step);
    mean.low.push(middle - sd);
    mean.high.push(middle + sd);
    mean.count.push(count);
  }
  return mean;
}

/** Growth of x a step up to a place of a line. */
function slope({ x, step }, at) {
  return at === 0 ? x[0] / (step[0] || 1) : (x[at] - x[at - 1]) / (step[at] - step[at - 1] || 1);
}

/** The place of the first x that is at least `value`. */
function firstFrom(x, value) {
  let [low, high] = [0, x.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nearest(x, value) {
  const at = firstFrom(x, value);
  if (at === 0) return 0;
  return at === x.length || value - x[at - 1] <= x[at] - value ? at - 1 : at;
}

/** The places to draw between two of x: all, or of each column of pixels first, lowest, highest and last. */
function drawn(line, from, to, columns) {
  const start = Math.max(0, firstFrom(line.x, from) - 1);
  const end = Math.min(line.x.length, firstFrom(line.x, to) + 2);
  const places = [];
  if (end - start <= 4 * columns) {
    for (let at = start; at < end; at += 1) places.push(at);
    return places;
  }
  const width = (to - from) / columns;
  let at = start;
  while (at < end) {
    const column = Math.floor((line.x[at] - from) / width);
    let [low, high, last] = [at, at, at];
    for (; last + 1 < end && Math.floor((line.x[last + 1] - from) / width) === column; last += 1) {
      if (line.y[last + 1] < line.y[low]) low = last + 1;
      if (line.y[last + 1] > line.y[high]) high = last + 1;
    }
    places.push(...[...new Set([at, low, high, last])].sort((a, b) => a - b));
    at = last + 1;
  }
  return places;
}

/** Round numbers from `low` to `high`, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const all = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) all.push(at * step);
  return all;
}

/** A tick's text, with as many decimals as the step between ticks needs. */
function tickText(value, all) {
  const step = all.length > 1 ? Math.abs(all[1] - all[0]) : Math.abs(value);
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(step < Math.abs(value) / 2 ? 1 : 0);
  return value.toFixed(Math.max(0, Math.min(8, -Math.floor(Math.log10(step || 1) + 1e-9))));
}
