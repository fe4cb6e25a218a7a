// Spectrograms on canvases: the live one, and the picture of an explanation.

import { el, say, scale } from "./common.js";

// viridis at nine places; between them straight lines.
const VIRIDIS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];
const COLOURS = Array.from({ length: 256 }, (_, i) => {
  const at = (i / 255) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((value, j) => Math.round(value + (at - low) * (VIRIDIS[low + 1][j] - value)));
});
const MOST_COLUMNS = 1200;

// Paint columns of bytes, lowest band first; each keeps its place as one pixel, scaled by CSS.
function paint(canvas, columns, bands) {
  const count = columns.length / bands;
  canvas.width = count;
  canvas.height = bands;
  const image = new ImageData(count, bands);
  for (let column = 0; column < count; column += 1) {
    for (let band = 0; band < bands; band += 1) {
      const [red, green, blue] = COLOURS[columns[column * bands + band]];
      const at = ((bands - 1 - band) * count + column) * 4;
      image.data[at] = red;
      image.data[at + 1] = green;
      image.data[at + 2] = blue;
      image.data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// The last minute of one machine.
export class LiveSpectrogram {
  constructor(machine, name) {
    this.machine = machine;
    this.canvas = el("canvas", { class: "live", role: "img", "aria-label": `Live spectrogram of ${name}, the last minute` });
    this.frame = el("div", { class: "spectrogram" }, el("div", { class: "scale" }), this.canvas, el("div", { class: "axis" }, el("span", {}, "1 min ago"), el("span", {}, "now")));
    this.note = el("span", { class: "muted" }, "last minute");
    this.element = el("figure", {}, el("figcaption", {}, el("h3", {}, "Live spectrogram"), this.note), this.frame);
    this.next = 0;
    this.columns = new Uint8Array(0);
    this.bands = 0;
    this.busy = false;
    this.labelled = false;
  }

  silent(silent) {
    say(this.note, silent ? "no sound comes" : "last minute");
    this.frame.classList.toggle("silent", silent);
  }

  async update() {
    if (this.busy) {
      return;
    }
    this.busy = true;
    try {
      if (!this.labelled) {
        const answer = await fetch(`/api/machines/${this.machine}/bands`);
        if (answer.ok) {
          this.frame.firstChild.replaceWith(scale((await answer.json()).edges_hz));
          this.labelled = true;
        }
      }
      const answer = await fetch(`/api/machines/${this.machine}/columns?since=${this.next}`);
      if (answer.ok) {
        this.add(await answer.arrayBuffer());
      }
    } finally {
      this.busy = false;
    }
  }

  add(buffer) {
    const view = new DataView(buffer);
    this.next = Number(view.getBigUint64(0, true));
    const bands = view.getUint32(8, true);
    const fresh = new Uint8Array(buffer, 12);
    if (bands === 0 || fresh.length === 0) {
      return;
    }
    const kept = bands === this.bands ? this.columns : new Uint8Array(0);
    const most = MOST_COLUMNS * bands;
    const joined = new Uint8Array(Math.min(most, kept.length + fresh.length));
    const old = Math.max(0, joined.length - fresh.length);
    joined.set(kept.subarray(kept.length - old), 0);
    joined.set(fresh.subarray(Math.max(0, fresh.length - joined.length)), old);
    this.bands = bands;
    this.columns = joined;
    paint(this.canvas, joined, bands);
  }
}

// Why: the spectrogram of the window, and beside it what each band gave to the score.
export function explanationPicture(found) {
  const columns = Uint8Array.from(atob(found.mel), (letter) => letter.charCodeAt(0));
  const canvas = el("canvas", { role: "img", "aria-label": "Spectrogram of the window that raised the alarm" });
  paint(canvas, columns, found.n_mels);
  const shares = el("canvas", { class: "shares", role: "img", "aria-label": "Share of each frequency band in the score" });
  drawShares(shares, found.bands);
  return el(
    "div",
    {},
    el("div", { class: "picture" }, scale(found.edges_hz), canvas, shares,
      el("span"), el("div", { class: "below" }, el("span", {}, "0 s"), el("span", {}, `${found.seconds.toFixed(1)} s`)), el("div", { class: "below" }, "share of the score")),
    el("p", { class: "sentence" }, found.sentence),
  );
}

function drawShares(canvas, bands) {
  const width = 120;
  const row = 4;
  canvas.width = width;
  canvas.height = bands.length * row;
  const context = canvas.getContext("2d");
  // The alarm colour of the theme at the time of drawing.
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--alarm");
  const highest = Math.max(...bands, 1e-9);
  bands.forEach((share, band) => {
    context.fillRect(0, (bands.length - 1 - band) * row, (share / highest) * width, row - (row > 2 ? 0.5 : 0));
  });
}
