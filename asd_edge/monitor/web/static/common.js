// Requests, times in the device's zone, and elements whose text is never taken for HTML.

export const zone = { name: undefined, offset: 0 };

// Why a window was not judged.
export const VALIDITIES = {
  valid: "judged", gap: "gap in the sound", dead: "dead microphone", clipped: "clipped",
  level: "unusual level", off: "machine off",
};

export async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  return unpack(answer);
}

export async function post(path, values = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(values),
  });
  return unpack(answer);
}

async function unpack(answer) {
  if (answer.status === 401) {
    location.assign("/login");
  }
  const values = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error(values.error || `the device answered ${answer.status}`);
  }
  return values;
}

// An element: el("p", { class: "muted" }, "text", child, ...). Strings become text nodes.
export function el(name, attributes = {}, ...children) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      found.addEventListener(key.slice(2), value);
    } else if (value === true) {
      found.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      found.setAttribute(key, value);
    }
  }
  found.append(...children.filter((child) => child !== null && child !== undefined));
  return found;
}

export function svg(name, attributes = {}, text = "") {
  const found = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    found.setAttribute(key, value);
  }
  found.textContent = text;
  return found;
}

// Write a text only where it changes: screen readers are not told the same again.
export function say(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

// A number and its unit stay on one line, as do the ends of a range.
export function together(text) {
  return text
    .replace(/(\d) (?=(k?Hz|dB|s|min|h|days)\b)/g, "$1\u00a0")
    .replace(/(\d)-(?=\d)/g, "$1\u2060–\u2060");
}

function format(at, options) {
  // A device without a named zone gives its offset from UTC.
  const named = zone.name !== undefined;
  const shown = new Date((at + (named ? 0 : zone.offset)) * 1000);
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: named ? zone.name : "UTC",
    hourCycle: "h23",
    ...options,
  }).format(shown);
}

export function clock(at) {
  return format(at, { hour: "2-digit", minute: "2-digit" });
}

export function clockWithSeconds(at) {
  return format(at, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

// The day only where it is another than today.
export function dayAndClock(at) {
  const day = { day: "numeric", month: "short", year: "numeric" };
  if (format(at, day) === format(Date.now() / 1000, day)) {
    return clock(at);
  }
  return format(at, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).replace(",", "");
}

// Hours and minutes of a moment on the device's clock, for marks at full hours.
export function minutesOfDay(at) {
  const [hours, minutes] = clock(at).split(":").map(Number);
  return hours * 60 + minutes;
}

export function duration(seconds) {
  const units = [["s", 1, 120], ["min", 60, 7200], ["h", 3600, 172800], ["days", 86400, Infinity]];
  const [unit, size] = units.find(([, , below]) => seconds < below);
  return `${Math.round(seconds / size)} ${unit}`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (count >= 1000 && power < units.length - 1) {
    count /= 1000;
    power += 1;
  }
  return `${count.toPrecision(3)} ${units[power]}`;
}

export function ratioText(ratio) {
  return ratio === null || ratio === undefined ? "–" : ratio.toFixed(ratio < 10 ? 2 : 0);
}

export function levelText(level) {
  return level === null || level === undefined ? "–" : `${level.toFixed(1).replace("-", "−")} dB`;
}

export function hertz(value) {
  return value < 1000 ? `${Math.round(value)} Hz` : `${(value / 1000).toPrecision(2)} kHz`;
}

// Marks of a frequency axis of mel bands: [share of the height from below, text].
export function bandMarks(edges) {
  const marks = [];
  for (const hz of [50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000]) {
    const above = edges.findIndex((edge) => edge >= hz);
    if (above < 1) {
      continue;
    }
    const part = (hz - edges[above - 1]) / (edges[above] - edges[above - 1]);
    const at = (above - 1 + part) / (edges.length - 1);
    if (at < 0.97 && (marks.length === 0 || at - marks[marks.length - 1][0] > 0.1)) {
      marks.push([at, hertz(hz)]);
    }
  }
  return marks;
}

export function scale(edges) {
  const found = el("div", { class: "scale", "aria-hidden": "true" });
  for (const [at, text] of bandMarks(edges || [])) {
    const mark = el("span", {}, text);
    mark.style.bottom = `${at * 100}%`;
    found.append(mark);
  }
  return found;
}
