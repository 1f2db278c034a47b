// Additions to the pages, which work without JavaScript: live history, keyboard shortcuts, copy buttons, expanding of
// trees and zooming into charts.
"use strict";

const POLL_MS = 2000;
const MAX_POLL_MS = 60000;

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// Live history: poll the newest page. The server answers 304 without a body if nothing changed.

function startLive(runs) {
  const button = find("#live");
  const state = find("#live-state");
  let etag = null;
  let delay = POLL_MS;
  let timer = 0;
  let isOn = true;

  const runIds = () => new Set(findAll("tr[data-id]", runs).map((row) => row.dataset.id));

  function replaceRuns(html) {
    const previousIds = runIds();
    const focusedId = document.activeElement?.closest("#runs tr[data-id]")?.dataset.id;
    const focusedLink = runs.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const newDocument = new DOMParser().parseFromString(html, "text/html");
    runs.replaceChildren(...newDocument.body.childNodes);
    let newRuns = 0;
    for (const row of findAll("tr[data-id]", runs)) {
      if (!previousIds.has(row.dataset.id)) {
        newRuns += 1;
        row.classList.add("new-run");
      }
      if (row.dataset.id === focusedId) {
        find("a.open", row).focus({ preventScroll: true });
      }
    }
    if (focusedLink && document.activeElement === document.body) {
      findAll("a", runs).find((link) => link.getAttribute("href") === focusedLink)?.focus({ preventScroll: true });
    }
    if (newRuns && previousIds.size > 0) {
      state.textContent = newRuns === 1 ? "1 new run" : `${newRuns} new runs`;
    } else if (newRuns) {
      state.textContent = "First run received";
    }
    prepare(runs);
  }

  function isSelecting() {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && runs.contains(selection.anchorNode);
  }

  async function poll() {
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const response = await fetch(runs.dataset.live, { headers, cache: "no-store" });
      if (response.status === 401) {
        location.reload();
        return;
      }
      // Do not replace the runs while the user selects text in them.
      if (response.status === 200 && isOn && !isSelecting()) {
        etag = response.headers.get("ETag");
        replaceRuns(await response.text());
      }
      if (response.ok || response.status === 304) {
        delay = POLL_MS;
      } else {
        const retryAfter = 1000 * Number(response.headers.get("Retry-After") || 0);
        delay = Math.min(MAX_POLL_MS, Math.max(delay * 2, retryAfter));
      }
    } catch {
      state.textContent = "The server does not respond";
      delay = Math.min(MAX_POLL_MS, delay * 2);
    }
    schedulePoll();
  }

  function schedulePoll() {
    clearTimeout(timer);
    if (isOn && !document.hidden) {
      timer = setTimeout(poll, delay);
    }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    isOn = !isOn;
    button.setAttribute("aria-pressed", String(isOn));
    state.textContent = isOn ? "" : "Paused";
    schedulePoll();
  });
  document.addEventListener("visibilitychange", schedulePoll);
  schedulePoll();
}

// Keyboard shortcuts

function moveFocus(step) {
  const neighbor = find(step > 0 ? 'a[rel="next"][data-run]' : 'a[rel="prev"][data-run]');
  if (neighbor) {
    neighbor.click();
    return;
  }
  const links = findAll("#runs a.open");
  const current = links.indexOf(document.activeElement);
  const first = step > 0 ? 0 : links.length - 1;
  links[current < 0 ? first : current + step]?.focus();
}

const openPage = (name) => find(`nav[aria-label="Pages"] a[href$="/${name}"]`)?.click();

const SHORTCUTS = {
  j: () => moveFocus(1),
  k: () => moveFocus(-1),
  u: () => find("a[data-list]")?.click(),
  "/": () => find("#search")?.focus(),
  "?": () => find("#shortcuts")?.showModal(),
  h: () => openPage("history"),
  m: () => openPage("metrics"),
  e: () => openPage("errors"),
  a: () => openPage("agents"),
};

function onKeyDown(event) {
  const isTyping = event.target.closest?.("input, select, textarea, dialog, [contenteditable]");
  if (event.key === "Escape" && event.target.id === "search") {
    event.target.blur();
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(SHORTCUTS, event.key)) {
    return;
  }
  event.preventDefault();
  SHORTCUTS[event.key]();
}

// Filters: a choice applies at once. The list focuses the run that was open before.

function applyChoices(form) {
  const apply = () => form.requestSubmit();
  for (const field of findAll(":scope > select, :scope > input[list]", form)) {
    field.addEventListener("change", apply);
  }
}

function restoreFocus() {
  const openRun = document.body.dataset.run;
  if (openRun) {
    sessionStorage.setItem("openRun", openRun);
    return;
  }
  const lastRun = sessionStorage.getItem("openRun");
  sessionStorage.removeItem("openRun");
  const row = findAll("#runs tr[data-id]").find((each) => each.dataset.id === lastRun);
  if (row) {
    find("a.open", row).focus();
  }
}

// Copy and expand buttons

async function copy(button) {
  const label = button.textContent;
  try {
    const { copy: selector, copyFrom, copyLink } = button.dataset;
    let text = copyLink ? new URL(copyLink, location.href).href : "";
    if (!copyLink) {
      text = copyFrom ? await (await fetch(copyFrom)).text() : find(selector).textContent;
    }
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy failed";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

function toggleExpanded(button) {
  const nodes = findAll("details", find(button.dataset.expand));
  const isExpanding = button.getAttribute("aria-pressed") !== "true";
  // The root stays open when everything else is collapsed.
  nodes.forEach((node, index) => (node.open = isExpanding || index === 0));
  button.setAttribute("aria-pressed", String(isExpanding));
  button.textContent = isExpanding ? "Collapse all" : "Expand all";
}

function prepare(within) {
  if (navigator.clipboard) {
    for (const button of findAll("[data-copy], [data-copy-from], [data-copy-link]", within)) {
      button.hidden = false;
      button.addEventListener("click", () => copy(button));
    }
  }
  for (const button of findAll("[data-expand]", within)) {
    button.hidden = false;
    button.addEventListener("click", () => toggleExpanded(button));
  }
  for (const time of findAll("time", within)) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

// Zooming: dragging over several time buckets of a chart opens their time range. A click on one bucket follows its link.

function enableZoom(chart) {
  const links = findAll(".buckets a", chart);
  const bucketAt = (event) => links.indexOf(event.target.closest?.(".buckets a"));
  const parameter = (link, name) => new URL(link.href.baseVal, location.href).searchParams.get(name);
  let start = -1;

  const highlight = (end) => {
    const [low, high] = [Math.min(start, end), Math.max(start, end)];
    links.forEach((link, index) => link.classList.toggle("selected", low >= 0 && index >= low && index <= high));
  };
  chart.addEventListener("pointerdown", (event) => (start = event.button === 0 ? bucketAt(event) : -1));
  chart.addEventListener("pointermove", (event) => start >= 0 && highlight(bucketAt(event)));
  chart.addEventListener("dragstart", (event) => event.preventDefault());
  document.addEventListener("pointerup", (event) => {
    const end = chart.contains(event.target) ? bucketAt(event) : -1;
    const [low, high] = [Math.min(start, end), Math.max(start, end)];
    if (low >= 0 && low < high) {
      const url = new URL(links[low].href.baseVal, location.href);
      url.searchParams.set("until", parameter(links[high], "until"));
      location.assign(url);
    } else {
      highlight(-1);
    }
    start = -1;
  });
}

prepare(document);
document.addEventListener("keydown", onKeyDown);
findAll("form.filters").forEach(applyChoices);
restoreFocus();
findAll("svg.chart").forEach(enableZoom);
const runs = find("#runs[data-live]");
if (runs) {
  startLive(runs);
}
