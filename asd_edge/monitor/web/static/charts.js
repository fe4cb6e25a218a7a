// Ratio and level over 24 hours, as SVG: sharp at every size, and one place to read a value.

import { VALIDITIES, clock, dayAndClock, duration, el, levelText, minutesOfDay, ratioText, svg } from "./common.js";

const LEFT = 40;
const RIGHT = 6;
const GAP_FACTOR = 3;
const OLD_S = 120;
const DAY_S = 86_400;

export class DayCharts {
  constructor(name) {
    this.ratio = new Chart(`Ratio to the threshold of ${name}`, 190);
    this.level = new Chart(`Level of ${name}`, 110);
    this.range = el("span", { class: "muted" });
    this.ratioValue = el("span", { class: "value" });
    this.levelValue = el("span", { class: "value muted" });
    this.element = el(
      "div",
      {},
      el("figure", {}, el("figcaption", {}, el("h3", {}, "Ratio to the threshold"), this.range, this.ratioValue), this.ratio.element),
      el("figure", {}, el("figcaption", {}, el("h3", {}, "Level"), this.levelValue), this.level.element),
    );
    this.data = null;
    this.newest = null;
    for (const chart of [this.ratio, this.level]) {
      chart.element.addEventListener("pointermove", (event) => this.point(event, chart));
      chart.element.addEventListener("pointerleave", () => this.unpoint());
    }
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  set(data) {
    this.data = data;
    this.draw();
  }

  // Append a window that came since: the whole day is asked for once in a while only.
  add(window, now) {
    this.newest = window && { ...window, age: now - window.end };
    const data = this.data;
    if (data && window && window.end > (data.end[data.end.length - 1] ?? 0) + 0.5) {
      data.end.push(window.end);
      data.ratio.push(window.ratio);
      data.level_dbfs.push(window.level_dbfs);
      data.validity.push(window.validity);
      if (window.end - data.since > DAY_S) {
        data.since = window.end - DAY_S;
      }
      data.until = window.end;
      this.draw();
    }
    this.unpoint();
  }

  draw() {
    if (!this.data || !this.element.clientWidth) {
      return;
    }
    const { data } = this;
    this.range.textContent = `last ${duration(data.until - data.since)}`;
    this.ratio.draw(data, data.ratio, ratioScale(data.ratio), true);
    this.level.draw(data, data.level_dbfs, levelScale(data.level_dbfs), false);
    this.describe();
  }

  describe() {
    const known = this.data.ratio.map((ratio, i) => [ratio, this.data.end[i]]).filter(([ratio]) => ratio !== null);
    if (known.length === 0) {
      this.ratio.element.setAttribute("aria-label", "No window was judged in the last 24 hours");
      return;
    }
    const [highest, at] = known.reduce((best, one) => (one[0] > best[0] ? one : best));
    const above = known.filter(([ratio]) => ratio >= 1).length;
    this.ratio.element.setAttribute(
      "aria-label",
      `Ratio to the threshold over ${duration(this.data.until - this.data.since)}: highest ${ratioText(highest)} at ${clock(at)}; at or above the line of 1 in ${above} of ${known.length} points`,
    );
    const levels = this.data.level_dbfs.filter((level) => level !== null);
    if (levels.length) {
      this.level.element.setAttribute(
        "aria-label",
        `Level over ${duration(this.data.until - this.data.since)}: from ${levelText(levels.reduce((a, b) => Math.min(a, b)))} to ${levelText(levels.reduce((a, b) => Math.max(a, b)))}`,
      );
    }
  }

  point(event, chart) {
    const { data } = this;
    if (!data || data.end.length === 0) {
      return;
    }
    const at = chart.time(event, data);
    let nearest = 0;
    data.end.forEach((end, i) => {
      if (Math.abs(end - at) < Math.abs(data.end[nearest] - at)) {
        nearest = i;
      }
    });
    const when = dayAndClock(data.end[nearest]);
    this.ratioValue.textContent = `${when}: ${data.validity[nearest] === "valid" ? ratioText(data.ratio[nearest]) : VALIDITIES[data.validity[nearest]]}`;
    this.levelValue.textContent = `${when}: ${levelText(data.level_dbfs[nearest])}`;
    this.ratio.cursor(data, data.end[nearest]);
    this.level.cursor(data, data.end[nearest]);
  }

  unpoint() {
    const window = this.newest;
    const old = window && window.age > OLD_S;
    const when = old ? `last at ${clock(window.end)}:` : "now";
    this.ratioValue.textContent = window ? `${when} ${window.ratio === null ? VALIDITIES[window.validity] : ratioText(window.ratio)}` : "";
    this.levelValue.textContent = window ? `${when} ${levelText(window.level_dbfs)}` : "";
    this.ratio.cursor();
    this.level.cursor();
  }
}

class Chart {
  constructor(label, height) {
    this.height = height;
    this.element = svg("svg", { role: "img", "aria-label": label, height });
  }

  draw(data, values, scale, limit) {
    const width = Math.max(120, this.element.clientWidth || this.element.parentElement.clientWidth);
    const bottom = this.height - 22;
    this.width = width;
    const x = (at) => LEFT + ((at - data.since) / (data.until - data.since)) * (width - LEFT - RIGHT);
    const y = (value) => 8 + (1 - scale.part(value)) * (bottom - 8);
    this.element.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.element.replaceChildren();
    this.unheard(data, x, bottom);
    for (const [value, text] of scale.marks) {
      this.put("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });
      this.put("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, text);
    }
    this.hours(data, x, bottom, width);
    if (limit) {
      this.put("line", { class: "limit", x1: LEFT, x2: width - RIGHT, y1: y(1), y2: y(1) });
      this.put("text", { class: "limit-text", x: LEFT - 6, y: y(1) + 4, "text-anchor": "end" }, "1");
    }
    this.curve(data, values, x, y, limit);
    this.pointer = this.put("line", { class: "cursor", y1: 4, y2: bottom, visibility: "hidden" });
    this.x = x;
  }

  // Grey where nothing was judged.
  unheard(data, x, bottom) {
    const step = typicalStep(data.end);
    let from = data.since;
    data.end.forEach((end, i) => {
      if (data.validity[i] === "valid") {
        if (end - from > GAP_FACTOR * step) {
          this.put("rect", { class: "unheard", x: x(from), y: 8, width: Math.max(1, x(end - step) - x(from)), height: bottom - 8 });
        }
        from = end;
      }
    });
    if (data.until - from > GAP_FACTOR * step) {
      this.put("rect", { class: "unheard", x: x(from), y: 8, width: Math.max(1, x(data.until) - x(from)), height: bottom - 8 });
    }
  }

  hours(data, x, bottom, width) {
    // Minutes between marks: as many marks as there is room for, at full times of the day.
    const most = Math.max(2, (width - LEFT) / 75);
    const every = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].find((m) => (data.until - data.since) / 60 / m <= most) ?? 1440;
    // Zones differ from UTC by quarters of an hour.
    const step = every >= 15 ? 900 : 60;
    for (let at = Math.ceil(data.since / step) * step; at <= data.until; at += step) {
      const far = x(at) > LEFT + 14 && x(at) < width - RIGHT - 12;
      if (minutesOfDay(at) % every === 0 && far) {
        this.put("line", { class: "grid", x1: x(at), x2: x(at), y1: bottom, y2: bottom + 4 });
        this.put("text", { x: x(at), y: bottom + 18, "text-anchor": "middle" }, clock(at));
      }
    }
  }

  curve(data, values, x, y, limit) {
    const step = typicalStep(data.end);
    let path = "";
    let above = "";
    let last = null;
    values.forEach((value, i) => {
      const fine = value !== null && data.end[i] >= data.since;
      if (fine) {
        const near = last !== null && data.end[i] - data.end[last] <= GAP_FACTOR * step;
        const point = `${x(data.end[i]).toFixed(1)} ${y(value).toFixed(1)}`;
        path += `${near ? "L" : "M"}${point}`;
        if (limit && value >= 1) {
          const before = near ? `${x(data.end[last]).toFixed(1)} ${y(Math.max(1, values[last])).toFixed(1)}` : point;
          above += `M${before}L${point}`;
        }
        last = i;
      }
    });
    this.put("path", { class: "curve", d: path });
    if (above) {
      this.put("path", { class: "above", d: above });
    }
  }

  put(name, attributes, text) {
    return this.element.appendChild(svg(name, attributes, text));
  }

  time(event, data) {
    const inside = event.clientX - this.element.getBoundingClientRect().left - LEFT;
    return data.since + (inside / (this.width - LEFT - RIGHT)) * (data.until - data.since);
  }

  cursor(data, at) {
    if (!this.pointer) {
      return;
    }
    this.pointer.setAttribute("visibility", data ? "visible" : "hidden");
    if (data) {
      this.pointer.setAttribute("x1", this.x(at));
      this.pointer.setAttribute("x2", this.x(at));
    }
  }
}

function typicalStep(ends) {
  if (ends.length < 2) {
    return 60;
  }
  const steps = ends.slice(1).map((end, i) => end - ends[i]).sort((a, b) => a - b);
  return Math.max(1, steps[Math.floor(steps.length / 2)]);
}

// Linear up to 3; logarithmic where an alarm is much higher, so that the rest stays legible.
function ratioScale(values) {
  const highest = values.reduce((best, value) => Math.max(best, value ?? 0), 0);
  if (highest <= 3) {
    const top = highest <= 1.4 ? 1.5 : Math.ceil(highest * 2) / 2;
    return { part: (value) => value / top, marks: [0, 0.5, ...(top > 1.5 ? [2, 3] : [1.5])].filter((v) => v <= top).map((v) => [v, String(v)]) };
  }
  const low = Math.log10(0.2);
  const high = Math.log10(highest * 1.1);
  const part = (value) => (Math.log10(Math.max(value, 0.2)) - low) / (high - low);
  const marks = [0.2, 0.5, 2, 5, 10, 20, 50, 100, 1000].filter((v) => v <= highest * 1.1).map((v) => [v, String(v)]);
  return { part, marks };
}

function levelScale(values) {
  const known = values.filter((value) => value !== null);
  const low = Math.floor((known.reduce((a, b) => Math.min(a, b), -30) - 1) / 10) * 10;
  const high = Math.min(0, Math.ceil((known.reduce((a, b) => Math.max(a, b), -120) + 1) / 10) * 10);
  const top = Math.max(high, low + 10);
  const marks = [low, top].map((value) => [value, String(value).replace("-", "−")]);
  return { part: (value) => (value - low) / (top - low), marks };
}
