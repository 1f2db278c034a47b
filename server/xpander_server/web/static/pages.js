// Additions to the pages, which work without JavaScript: live history, keyboard shortcuts, copy buttons, ages of
// times, expanding of trees, tooltips, zooming into charts and refreshed metrics.
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

const openList = () => find("a[data-list]")?.click();
const openPage = (name) => find(`nav[aria-label="Pages"] a[href$="/${name}"]`)?.click();

const SHORTCUTS = {
  j: () => moveFocus(1),
  k: () => moveFocus(-1),
  u: openList,
  Backspace: openList,
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
  for (const field of findAll(".choices > select, .choices > input[list]", form)) {
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
  showAges(within);
}

// Ages of times of the last day, such as "5 min ago". Screen readers and the tooltip have the exact time.

const AGES_MS = 30000;

function ageOf(time) {
  const minutes = Math.floor((Date.now() - Date.parse(time.dateTime)) / 60000);
  if (minutes < 1) {
    return "just now";
  }
  const hours = Math.floor(minutes / 60);
  return hours < 1 ? `${minutes} min ago` : hours < 24 ? `${hours} h ago` : null;
}

function showAges(within = document) {
  for (const time of findAll("time", within)) {
    const age = ageOf(time);
    const exact = (time.dataset.exact ??= time.textContent);
    if (age === null) {
      time.textContent = exact;
    } else if ("age" in time.dataset) {
      time.textContent = `${exact} (${age})`;
    } else {
      const [shown, read] = [document.createElement("span"), document.createElement("span")];
      shown.ariaHidden = "true";
      shown.textContent = age;
      read.className = "visually-hidden";
      read.textContent = time.title;
      time.replaceChildren(shown, read);
    }
  }
}

// Time zone: a choice applies at once. The zone of the browser is the second one to choose.

function enableZones(form) {
  const select = find("select", form);
  const offerOwnZone = () => {
    const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (name && select.value !== name && select.options[1].value !== name) {
      [...select.options].find((option) => option.value === name)?.remove();
      select.add(new Option(name), 1);
    }
  };
  select.addEventListener("pointerdown", offerOwnZone, { once: true });
  select.addEventListener("focus", offerOwnZone, { once: true });
  select.addEventListener("change", () => form.requestSubmit());
}

// Zooming: dragging over several time buckets of a chart opens their time range. A click on one bucket follows its link.

function enableZoom(chart, signal) {
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
  }, { signal });
}

// Tooltips of charts: the text of the bucket under the pointer. A tap shows it first; a second tap follows the link.

function enableTooltips(chart, signal) {
  const tooltip = document.createElement("div");
  tooltip.className = "tooltip";
  tooltip.setAttribute("aria-hidden", "true");
  tooltip.hidden = true;
  chart.after(tooltip);
  chart.parentElement.classList.add("has-tooltip");
  for (const rect of findAll(".buckets rect", chart)) {
    const title = find("title", rect);
    if (title) {
      // The browser would show its own tooltip as well.
      rect.dataset.tooltip = title.textContent;
      title.remove();
    }
  }
  let shown = null;
  let wasShown = false;

  const hide = () => {
    tooltip.hidden = true;
    shown?.classList.remove("touched");
    shown = null;
  };
  const show = (rect) => {
    shown?.classList.remove("touched");
    shown = rect;
    rect.classList.add("touched");
    tooltip.textContent = rect.dataset.tooltip;
    tooltip.hidden = false;
    const frame = chart.parentElement.getBoundingClientRect();
    const box = rect.getBoundingClientRect();
    const left = (box.left + box.right) / 2 - frame.left - tooltip.offsetWidth / 2;
    tooltip.style.left = `${Math.max(0, Math.min(left, frame.width - tooltip.offsetWidth))}px`;
    tooltip.style.top = `${Math.max(0, chart.getBoundingClientRect().top - frame.top - 4)}px`;
  };
  const rectAt = (event) => event.target.closest?.(".buckets rect");
  chart.addEventListener("pointermove", (event) => event.pointerType !== "touch" && rectAt(event) && show(rectAt(event)));
  chart.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && hide());
  chart.addEventListener("pointerdown", (event) => {
    const rect = rectAt(event);
    wasShown = rect === shown;
    if (rect && event.pointerType === "touch") {
      show(rect);
    }
  });
  chart.addEventListener("click", (event) => event.pointerType === "touch" && !wasShown && event.preventDefault());
  document.addEventListener("pointerdown", (event) => chart.contains(event.target) || hide(), { signal });
}

// Refresh of metrics: replace the figures every minute, unless the user is at them.

const REFRESH_MS = 60000;

function startRefresh(part) {
  let listeners = enableCharts(part);
  const isBusy = () => {
    const selection = document.getSelection();
    return (
      document.hidden ||
      part.contains(document.activeElement) ||
      part.matches(":active") ||
      find(".tooltip:not([hidden])", part) ||
      (selection && !selection.isCollapsed && part.contains(selection.anchorNode))
    );
  };

  async function refresh() {
    if (isBusy()) {
      return;
    }
    try {
      const response = await fetch(location.href, { cache: "no-store" });
      if (response.redirected) {
        location.reload(); // signed out
        return;
      }
      const newDocument = new DOMParser().parseFromString(await response.text(), "text/html");
      const newPart = find(`#${part.id}`, newDocument);
      if (response.ok && newPart && !isBusy()) {
        listeners.abort();
        part.replaceChildren(...newPart.childNodes);
        prepare(part);
        listeners = enableCharts(part);
      }
    } catch {
      // The next refresh tries again.
    }
  }
  setInterval(refresh, REFRESH_MS);
}

// Returns the controller that removes the listeners of the charts from the document.
function enableCharts(within) {
  const listeners = new AbortController();
  for (const chart of findAll("svg.chart", within)) {
    // Only when the pointer first reaches a chart: the first paint of the page does not wait for hundreds of tooltips.
    const enable = () => {
      if (find(".buckets a", chart)) {
        enableZoom(chart, listeners.signal);
      }
      enableTooltips(chart, listeners.signal);
    };
    chart.addEventListener("pointerenter", enable, { once: true });
  }
  return listeners;
}

prepare(document);
document.addEventListener("keydown", onKeyDown);
findAll("form.filters").forEach(applyChoices);
findAll("form.zone").forEach(enableZones);
setInterval(() => document.hidden || showAges(), AGES_MS);
restoreFocus();
const refreshed = find("[data-refresh]");
if (refreshed) {
  startRefresh(refreshed);
} else {
  enableCharts(document);
}
const runs = find("#runs[data-live]");
if (runs) {
  startLive(runs);
}
