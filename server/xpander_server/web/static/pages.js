// What pages can do beyond being read: live history, keys, copying, folding, zooming. All of it works without, too.
"use strict";

const LIVE_MS = 2000;
const SLOWEST_MS = 60000;

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Live history: the newest page again and again, which the server answers by "the same" in few bytes.

function startLive(runs) {
  const button = one("#live");
  const state = one("#live-state");
  let tag = null;
  let wait = LIVE_MS;
  let timer = 0;
  let isOn = true;

  const ids = () => new Set(all("tr[data-id]", runs).map((row) => row.dataset.id));

  function show(text) {
    const known = ids();
    const isFirst = known.size === 0;
    const focused = document.activeElement?.closest("#runs tr[data-id]")?.dataset.id;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    runs.replaceChildren(...fresh.body.childNodes);
    let count = 0;
    for (const row of all("tr[data-id]", runs)) {
      if (!known.has(row.dataset.id)) {
        count += 1;
        row.classList.add("fresh");
      }
      if (row.dataset.id === focused) {
        one("a.open", row).focus({ preventScroll: true });
      }
    }
    if (count && !isFirst) {
      state.textContent = count === 1 ? "1 new run" : `${count} new runs`;
    } else if (count) {
      state.textContent = "The first run is here";
    }
    prepare(runs);
  }

  function isSelecting() {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && runs.contains(selection.anchorNode);
  }

  async function look() {
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const answer = await fetch(runs.dataset.live, { headers, cache: "no-store" });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      if (answer.status === 200 && isOn && !isSelecting()) {
        const isKnown = tag === null && answer.headers.get("ETag") === null;
        tag = answer.headers.get("ETag");
        if (!isKnown) {
          show(await answer.text());
        }
      }
      if (answer.ok || answer.status === 304) {
        wait = LIVE_MS;
        runs.dataset.seen = String(Number(runs.dataset.seen || 0) + 1);
      } else {
        wait = Math.min(SLOWEST_MS, Math.max(wait * 2, 1000 * Number(answer.headers.get("Retry-After") || 0)));
      }
    } catch {
      state.textContent = "The server does not answer";
      wait = Math.min(SLOWEST_MS, wait * 2);
    }
    next();
  }

  function next() {
    clearTimeout(timer);
    if (isOn && !document.hidden) {
      timer = setTimeout(look, wait);
    }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    isOn = !isOn;
    button.setAttribute("aria-pressed", String(isOn));
    state.textContent = isOn ? "" : "Paused";
    next();
  });
  document.addEventListener("visibilitychange", next);
  next();
}

// Keys

function move(step) {
  const links = all("#runs a.open");
  const at = links.indexOf(document.activeElement);
  const to = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step];
  to?.focus();
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  "/": () => one("#search")?.focus(),
  "?": () => one("#keys")?.showModal(),
  h: () => one('nav[aria-label="Pages"] a:first-child')?.click(),
  m: () => one('nav[aria-label="Pages"] a:last-child')?.click(),
};

function onKey(event) {
  const isWriting = event.target.closest?.("input, select, textarea, dialog, [contenteditable]");
  if (event.key === "Escape" && event.target.id === "search") {
    event.target.blur();
  }
  if (isWriting || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) {
    return;
  }
  event.preventDefault();
  KEYS[event.key]();
}

// Copying and folding

async function copy(button) {
  const said = button.textContent;
  try {
    const from = button.dataset.copyFrom;
    const text = from ? await (await fetch(from)).text() : one(button.dataset.copy).textContent;
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => (button.textContent = said), 1500);
}

function fold(button) {
  const parts = all("details", one(button.dataset.fold));
  const isOpening = button.getAttribute("aria-pressed") !== "true";
  parts.forEach((part, index) => (part.open = isOpening || index === 0));
  button.setAttribute("aria-pressed", String(isOpening));
  button.textContent = isOpening ? "Fold all" : "Unfold all";
}

function prepare(within) {
  if (navigator.clipboard) {
    for (const button of all("[data-copy], [data-copy-from]", within)) {
      button.hidden = false;
      button.addEventListener("click", () => copy(button));
    }
  }
  for (const button of all("[data-fold]", within)) {
    button.hidden = false;
    button.addEventListener("click", () => fold(button));
  }
  for (const time of all("time", within)) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

// Zooming: from the span where the pointer goes down to the one where it comes up. A click alone is a link.

function zoomable(chart) {
  const links = all(".spans a", chart);
  const at = (event) => links.indexOf(event.target.closest?.(".spans a"));
  const edge = (link, name) => new URL(link.href.baseVal, location.href).searchParams.get(name);
  let from = -1;

  const mark = (to) => {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    links.forEach((link, index) => link.classList.toggle("chosen", from >= 0 && to >= 0 && index >= low && index <= high));
  };
  chart.addEventListener("pointerdown", (event) => (from = event.button === 0 ? at(event) : -1));
  chart.addEventListener("pointermove", (event) => from >= 0 && mark(at(event)));
  chart.addEventListener("dragstart", (event) => event.preventDefault());
  document.addEventListener("pointerup", (event) => {
    const to = chart.contains(event.target) ? at(event) : -1;
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    if (low >= 0 && low < high) {
      const target = new URL(links[low].href.baseVal, location.href);
      target.searchParams.set("until", edge(links[high], "until"));
      location.assign(target);
    } else {
      mark(-1);
    }
    from = -1;
  });
}

prepare(document);
document.addEventListener("keydown", onKey);
all("svg.chart").forEach(zoomable);
const runs = one("#runs[data-live]");
if (runs) {
  startLive(runs);
}
