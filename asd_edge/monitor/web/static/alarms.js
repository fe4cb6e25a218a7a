// Alarms: what was heard, its recording, why, and what a person can say about it.

import { clock, dayAndClock, duration, el, get, post, ratioText, together } from "./common.js";
import { explanationPicture } from "./spectrogram.js";

const AGAIN_MS = 2000;
const MOST_TRIES = 60;

// `page` has names (id -> name), said(text) and changed(), which asks for everything anew.
export function alarmPanel(episode, page) {
  const sound = episode.kind === "sound";
  const open = episode.cleared_at === null;
  const panel = el("article", { class: `card alarm tone-${sound ? "alarm" : "fault"}` });
  const since = open ? `since ${dayAndClock(episode.raised_at)}` : `${dayAndClock(episode.raised_at)} to ${dayAndClock(episode.cleared_at)}`;
  panel.append(
    el("h3", {}, `${page.names[episode.machine] || episode.machine || "Device"}: ${episode.title} ${since}`),
    el("p", { class: "reason" }, together(episode.sentence || "No reason was found.")),
    el("p", { class: "muted" }, facts(episode)),
    buttons(episode, page, open, sound),
  );
  if (sound) {
    const why = el("div", { class: "why" });
    const recordings = el("div");
    panel.append(el("div", { class: "columns" }, recordings, why));
    showClips(episode, recordings);
    explain(episode.id, why);
  }
  return panel;
}

function facts(episode) {
  const parts = [`lasts ${duration(episode.seconds)}`];
  if (episode.cleared_at !== null) {
    parts[0] = `lasted ${duration(episode.seconds)}`;
  }
  if (episode.worst_ratio !== null) {
    parts.push(`highest ratio ${ratioText(episode.worst_ratio)}`);
  }
  if (episode.acknowledged_at !== null) {
    parts.push(`acknowledged ${clock(episode.acknowledged_at)}`);
  }
  if (episode.shelved_until !== null) {
    parts.push(`shelved until ${dayAndClock(episode.shelved_until)}`);
  }
  if (!episode.notify) {
    parts.push("nobody was notified");
  }
  if (episode.verdict) {
    parts.push(episode.verdict === "normal" ? "was normal" : "was a fault");
  }
  return parts.join(" · ");
}

// A recording is written a while after the alarm; until then the device is asked again.
async function showClips(episode, place, tries = 0) {
  const found = episode.clips.length ? episode : await get(`/api/episodes/${episode.id}`).catch(() => episode);
  if (found.clips.length) {
    place.replaceChildren(...found.clips.map(clip));
    return;
  }
  place.replaceChildren(el("p", { class: "muted" }, "No recording of this alarm is kept."));
  if (found.cleared_at === null && tries < MOST_TRIES) {
    setTimeout(() => place.isConnected && showClips(episode, place, tries + 1), AGAIN_MS);
  }
}

function clip(number, i) {
  const text = i === 0 ? "When it was raised" : "The worst of it";
  return el("div", { class: "clip" }, el("span", { class: "muted" }, text),
    el("audio", { controls: true, preload: "none", src: `/clips/${number}.flac`, "aria-label": `${text}, recording ${number}` }));
}

function buttons(episode, page, open, sound) {
  const found = el("div", { class: "buttons" });
  const add = (text, action, className = "") => found.append(el("button", { type: "button", class: className, onclick: (event) => act(event.currentTarget, action, page) }, text));
  if (open && episode.acknowledged_at === null) {
    add("Acknowledge", () => post(`/api/episodes/${episode.id}/acknowledge`), "primary");
  }
  if (!sound) {
    return found;
  }
  if (open) {
    found.append(shelve(episode, page));
  }
  if (!episode.verdict) {
    add("Was normal", async () => {
      const text = "The sound of this alarm will be added to the machine's normal sounds, and the threshold will be set anew. Do this only if the machine was fine.";
      return (await sure(text, "Add as normal")) ? post(`/api/episodes/${episode.id}/was-normal`) : null;
    });
    add("Was a fault", () => post(`/api/episodes/${episode.id}/was-fault`));
  }
  return found;
}

function shelve(episode, page) {
  const hours = el("select", { "aria-label": "How long to shelve" },
    ...[[1, "1 hour"], [8, "8 hours"], [24, "24 hours"]].map(([value, text]) => el("option", { value }, text)));
  const button = el("button", { type: "button", onclick: () => act(button, () => post(`/api/machines/${episode.machine}/shelve`, { hours: Number(hours.value) }), page) }, "Shelve");
  return el("span", { class: "shelve" }, hours, button);
}

export async function act(button, action, page) {
  button.disabled = true;
  try {
    const answer = await action();
    if (answer) {
      page.said(answer.done);
      page.changed();
    }
  } catch (error) {
    page.said(`Not done: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

function sure(text, yes) {
  const dialog = document.getElementById("sure");
  document.getElementById("sure-text").textContent = text;
  document.getElementById("sure-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function explain(number, place) {
  try {
    const found = await get(`/api/episodes/${number}/explanation`);
    if (found.state === "ready") {
      place.replaceChildren(explanationPicture(found));
    } else if (found.state === "none") {
      place.replaceChildren(el("p", { class: "muted" }, found.reason));
    } else {
      place.replaceChildren(el("p", { class: "muted" }, "The explanation is being made …"));
      setTimeout(() => place.isConnected && explain(number, place), AGAIN_MS);
    }
  } catch (error) {
    place.replaceChildren(el("p", { class: "muted" }, `No explanation: ${error.message}`));
  }
}

export function pastAlarms(episodes, page, place) {
  const wasOpen = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.id));
  const rows = episodes.filter((episode) => episode.cleared_at !== null).map((episode) => {
    const verdict = episode.verdict ? ` (was ${episode.verdict === "normal" ? "normal" : "a fault"})` : "";
    const row = el("details", { "data-id": episode.id },
      el("summary", {},
        el("span", { class: "when" }, dayAndClock(episode.raised_at)),
        el("span", { class: "machine-name muted" }, page.names[episode.machine] || episode.machine || "Device"),
        el("span", { class: "what" }, `${episode.title}${episode.sentence ? `: ${episode.sentence}` : ""}${verdict}`),
        el("span", { class: "long muted" }, duration(episode.seconds))));
    // Pictures and recordings are asked for when somebody looks.
    const fill = () => row.open && row.childElementCount === 1 && row.append(alarmPanel(episode, page));
    row.addEventListener("toggle", fill);
    if (wasOpen.has(String(episode.id))) {
      row.open = true;
      fill();
    }
    return row;
  });
  place.replaceChildren(...(rows.length ? rows : [el("p", { class: "none muted" }, "None so far.")]));
}
