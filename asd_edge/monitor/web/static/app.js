// The page: asks the device every two seconds, and shows what it answers.

import { alarmPanel, act, pastAlarms } from "./alarms.js";
import { DayCharts } from "./charts.js";
import { VALIDITIES, bytes, clockWithSeconds, dayAndClock, duration, el, get, post, say, together, zone } from "./common.js";
import { LiveSpectrogram } from "./spectrogram.js";

const STATE_MS = 2000;
const LIVE_MS = 500;
const WHOLE_DAY_MS = 600_000;
const SAID_MS = 8000;
const MARKS = { good: "✓", idle: "–", fault: "?", alarm: "!" };
const at = (id) => document.getElementById(id);
const machines = new Map();
let openShown = "";
let pastShown = null; // unlike any key, also that of no open alarm
let saidTimer;

const page = {
  names: {},
  said(text) {
    at("said").textContent = text;
    clearTimeout(saidTimer);
    saidTimer = setTimeout(() => { at("said").textContent = ""; }, SAID_MS);
  },
  changed() {
    pastShown = null;
    refresh();
  },
};

class Machine {
  constructor(state) {
    this.id = state.id;
    this.charts = new DayCharts(state.name);
    this.live = new LiveSpectrogram(state.id, state.name);
    this.facts = el("dl", { class: "facts" });
    this.runIn = el("div", { class: "run-in", hidden: true });
    this.shelved = el("p", { class: "buttons", hidden: true });
    this.element = el("section", { id: `machine-${state.id}`, "aria-label": state.name },
      el("h2", {}, state.name),
      el("div", { class: "card machine" }, this.shelved,
        el("div", { class: "charts" }, this.charts.element, this.live.element), this.runIn, this.facts));
    this.wholeAt = -Infinity;
  }

  async update(state, now) {
    this.showShelved(state.shelved_until);
    this.showRunIn(state);
    showFacts(this.facts, machineFacts(state));
    if (performance.now() - this.wholeAt > WHOLE_DAY_MS) {
      this.wholeAt = performance.now();
      this.charts.set(await get(`/api/machines/${this.id}/windows?hours=24`));
    }
    this.charts.add(state.last, now);
    this.live.silent(!["ok", "starting"].includes(state.microphone));
  }

  showShelved(until) {
    this.shelved.hidden = until === null;
    if (until !== null && this.shelved.dataset.until !== String(until)) {
      this.shelved.dataset.until = until;
      const end = el("button", { type: "button" }, "End now");
      end.addEventListener("click", () => act(end, () => post(`/api/machines/${this.id}/shelve`, { hours: 0 }), page));
      this.shelved.replaceChildren(`Alarms are shelved until ${dayAndClock(until)}.`, end);
    }
  }

  showRunIn(state) {
    const found = state.run_in;
    this.runIn.hidden = state.mode !== "run-in";
    const key = JSON.stringify(found);
    if (this.runIn.hidden || this.runIn.dataset.shown === key) {
      return;
    }
    this.runIn.dataset.shown = key;
    if (!found) {
      this.runIn.replaceChildren(el("p", { class: "muted" }, "Run-in: nobody is notified. How often other settings would have alarmed is shown after an hour of sound."));
      return;
    }
    const head = ["Raise at", "False-alarm rate", "Alarms", "Alarms a day"].map((text) => el("th", { scope: "col" }, text));
    const rows = found.rows.map(([k, n, rate, alarms, daily]) => el("tr", {},
      el("th", { scope: "row" }, `${k} of ${n}`), el("td", {}, `${rate * 100} %`), el("td", {}, String(alarms)), el("td", {}, daily.toFixed(daily < 10 ? 1 : 0))));
    this.runIn.replaceChildren(el("div", { class: "scroll" }, el("table", {},
      el("caption", {}, `Run-in: nobody is notified. Alarms that other settings (k of n windows) would have raised in ${duration(found.hours * 3600)} of sound:`),
      el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows))));
  }
}

function machineFacts(state) {
  const counts = state.counts;
  const invalid = ["gap", "dead", "clipped", "level"].filter((kind) => counts[kind]).map((kind) => `${counts[kind]} × ${VALIDITIES[kind]}`);
  const facts = [
    ["Windows judged", String(counts.valid ?? 0), false],
    ["Windows not judged", invalid.length ? invalid.join(", ") : "none", invalid.length > 0],
    ["Gaps in the sound", String(counts.gaps ?? 0), counts.gaps > 0],
    ["Microphone", state.microphone, !["ok", "starting"].includes(state.microphone)],
    ["Sampling rate", state.rate_measured === null ? "–" : `${state.rate_measured.toFixed(0)} Hz`, counts.rate_off > 0],
  ];
  for (const [key, text] of [["off", "Windows while off"], ["skipped", "Windows skipped"], ["stalls", "Stalls"], ["restarts", "Capture restarts"]]) {
    if (counts[key]) {
      facts.push([text, String(counts[key]), key === "skipped"]);
    }
  }
  return facts;
}

function deviceFacts(health) {
  const known = (value, text) => (value === null ? "not known" : text(value));
  return [
    ["Temperature", known(health.temperature_c, (t) => `${t.toFixed(0)} °C`), health.temperature_c > 80],
    ["Throttled", known(health.throttled, (x) => (x ? "yes: too hot, or too little supply voltage" : "no")), health.throttled === true],
    ["Disk free", known(health.disk_free_bytes, bytes), health.disk_free_bytes !== null && health.disk_free_bytes < 2e8],
    ["Load (100 %: every core is busy)", known(health.load, (x) => `${(x * 100).toFixed(0)} %`), health.load > 1],
    ["Memory", known(health.memory_bytes, bytes), false],
    ["Clock", known(health.clock_synchronised, (x) => (x ? "synchronised" : "not synchronised")), health.clock_synchronised === false],
    ["Windows waiting", String(health.queue), health.queue > 2],
    ["Running for", duration(health.uptime_s), false],
  ];
}

function showFacts(place, facts) {
  facts.forEach(([name, text, bad], i) => {
    const box = place.children[i] || place.appendChild(el("div", {}, el("dt"), el("dd")));
    say(box.children[0], name);
    say(box.children[1], text);
    box.classList.toggle("bad", bad);
  });
  while (place.children.length > facts.length) {
    place.lastChild.remove();
  }
}

function showNow(state) {
  const list = at("now");
  state.machines.forEach((machine, i) => {
    const row = list.children[i] || list.appendChild(el("li", {}, el("span", { class: "mark", "aria-hidden": "true" }),
      el("span", { class: "name" }, el("a"), el("span", { class: "chip", hidden: true })), el("span", { class: "sentence" })));
    row.className = `tone-${machine.tone}`;
    say(row.children[0], MARKS[machine.tone]);
    const [link, chip] = row.children[1].children;
    link.href = `#machine-${machine.id}`;
    say(link, machine.name);
    const chips = [machine.mode === "run-in" ? "run-in" : "", machine.shelved_until ? "shelved" : ""].filter(Boolean).join(", ");
    chip.hidden = chips === "";
    say(chip, chips);
    say(row.children[2], together(machine.headline));
  });
  while (list.children.length > state.machines.length) {
    list.lastChild.remove();
  }
}

function showOpen(state) {
  const episodes = [...state.machines.flatMap((machine) => machine.episodes), ...state.episodes];
  const key = JSON.stringify(episodes.map(({ seconds, ...rest }) => rest));
  at("open").hidden = episodes.length === 0;
  document.title = `${episodes.length ? `(${episodes.length}) ` : ""}${state.node}: asd-edge`;
  // A recording that plays is left alone until it ends.
  const plays = [...at("open-alarms").querySelectorAll("audio")].some((audio) => !audio.paused);
  if (key !== openShown && !plays) {
    openShown = key;
    at("open-alarms").replaceChildren(...episodes.map((episode) => alarmPanel(episode, page)));
  }
}

async function showPast(state) {
  const open = [...state.machines.flatMap((machine) => machine.episodes), ...state.episodes];
  const key = open.map((episode) => episode.id).join();
  if (key !== pastShown) {
    pastShown = key;
    pastAlarms(await get("/api/episodes?limit=50"), page, at("past-alarms"));
  }
}

async function refresh() {
  try {
    const state = await get("/api/state");
    at("lost").hidden = true;
    zone.name = state.time_zone ?? undefined;
    zone.offset = state.utc_offset_s;
    page.names = Object.fromEntries(state.machines.map((machine) => [machine.id, machine.name]));
    say(at("node"), state.node);
    say(at("clock"), clockWithSeconds(state.at));
    say(at("zone"), state.time_zone ?? "device time");
    say(at("version"), `asd-edge ${state.version}`);
    at("logout").hidden = !state.log_out;
    showNow(state);
    showOpen(state);
    showFacts(at("health"), deviceFacts(state.health));
    for (const machine of state.machines) {
      if (!machines.has(machine.id)) {
        machines.set(machine.id, new Machine(machine));
        at("machines").append(machines.get(machine.id).element);
      }
      await machines.get(machine.id).update(machine, state.at);
    }
    await showPast(state);
  } catch (error) {
    at("lost").hidden = false;
    say(at("lost"), `No answer from the device: what is shown may be old (${error.message}).`);
  }
}

// One request after the other, and none while nobody looks.
async function repeat(task, pause) {
  if (!document.hidden) {
    await task();
  }
  setTimeout(repeat, pause, task, pause);
}

repeat(refresh, STATE_MS);
repeat(() => Promise.allSettled([...machines.values()].map((machine) => machine.live.update())), LIVE_MS);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
