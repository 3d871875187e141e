// Sorting, filters and deep links. What is chosen stands in the address behind "#", as
// suite=..&env=..&agent=..&state=..&<table>=<column>.<asc|desc>&row=.. so that it can be sent on.
"use strict";

const FILTERS = ["suite", "env", "agent", "state"];
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- the state in the address ---

const readHash = () => {
  const text = location.hash.slice(1);
  return text.includes("=") ? new URLSearchParams(text) : new URLSearchParams();
};

let state = readHash();

const writeHash = () => {
  const text = state.toString();
  history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
};

const setState = (name, value) => {
  if (value === null) state.delete(name);
  else state.set(name, value);
  writeHash();
};

// --- sorting ---

const numeric = (header) => header.dataset.type === "number";

// Rows with what belongs under each: details move with their row.
const groups = (body) => {
  const found = [];
  for (const row of body.rows) {
    if (row.classList.contains("detail")) found[found.length - 1].push(row);
    else found.push([row]);
  }
  return found;
};

const sortTable = (table, column, direction) => {
  const headers = all("thead th", table);
  const index = headers.findIndex((header) => header.dataset.column === column);
  if (index < 0) return false;
  const sign = direction === "asc" ? 1 : -1;
  const byNumber = numeric(headers[index]);
  const key = ([row]) => row.cells[index].dataset.value ?? "";
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // what is not known stands last
    return sign * (byNumber ? Number(x) - Number(y) : x.localeCompare(y));
  };
  const body = table.tBodies[0];
  body.append(...groups(body).sort(compare).flat());
  for (const header of headers) {
    if (header.dataset.column === column) {
      header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    } else header.removeAttribute("aria-sort");
  }
  return true;
};

const onSort = (table, header) => {
  const sorted = header.getAttribute("aria-sort");
  const first = numeric(header) && header.dataset.first !== "asc" ? "desc" : "asc";
  const other = first === "asc" ? "desc" : "asc";
  const now = sorted === (first === "asc" ? "ascending" : "descending") ? other : first;
  for (const each of all(`table[data-name="${table.dataset.name}"]`)) {
    sortTable(each, header.dataset.column, now);
  }
  setState(table.dataset.name, `${header.dataset.column}.${now}`);
  say(`Sorted by ${header.textContent.trim()}, ${now === "asc" ? "ascending" : "descending"}.`);
};

// --- filters ---

const say = (text) => {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
};

const control = (name) => document.querySelector(`select[name="${name}"]`);

// A value of a control, or "" where it is all; the first suite is chosen where none is named.
const chosen = (name) => control(name)?.value ?? "";

const matches = (element) =>
  FILTERS.every((name) => {
    const wanted = chosen(name);
    if (!wanted) return true;
    const { [name]: one, [name + "s"]: several } = element.dataset;
    if (several !== undefined) return JSON.parse(several).includes(wanted);
    return one === undefined || one === wanted;
  });

const filter = () => {
  for (const element of all("[data-filtered]")) element.hidden = !matches(element);
  for (const row of all("tr.detail")) row.hidden = row.previousElementSibling.hidden;
  const rows = all("table[data-name=results] tr.row");
  const shown = rows.filter((row) => !row.hidden).length;
  for (const place of all("[data-count]")) {
    place.textContent = `${shown} of ${rows.length} results`;
  }
  for (const place of all("[data-empty]")) place.hidden = shown > 0;
};

// --- rows that open ---

const setOpen = (row, open) => {
  row.querySelector("button.open").setAttribute("aria-expanded", String(open));
  row.nextElementSibling.classList.toggle("shown", open);
};

const isOpen = (row) => row.nextElementSibling.classList.contains("shown");

const rowOf = (name) => {
  const row = document.getElementById(`row-${name}`);
  return row?.matches("tr.row") ? row : null;
};

// --- all of it, as the address says ---

const apply = () => {
  for (const name of FILTERS) {
    const select = control(name);
    if (!select) continue;
    const wanted = state.get(name) ?? select.dataset.usual ?? "";
    const known = [...select.options].some((option) => option.value === wanted);
    select.value = known ? wanted : (select.dataset.usual ?? "");
  }
  const row = rowOf(state.get("row") ?? "");
  if (row && control("suite") && !state.has("suite")) control("suite").value = row.dataset.suite;
  for (const table of all("table[data-name]")) {
    const [column, direction] = (state.get(table.dataset.name) ?? "").split(".");
    if (column) sortTable(table, column, direction === "asc" ? "asc" : "desc");
  }
  filter();
  if (!row) return;
  if (row.hidden) {
    say("The linked result is hidden by the filters.");
    return;
  }
  setOpen(row, true);
  row.scrollIntoView({ block: "start" });
  row.querySelector("button.open").focus({ preventScroll: true });
};

// --- colours ---

const dark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

const showTheme = () => {
  for (const button of all("button.theme")) {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `${dark() ? "Light" : "Dark"} colours`);
  }
};

const toggleTheme = () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("genenvs-theme", theme);
  } catch { /* it holds for this page */ }
  showTheme();
};

// --- legends: one agent stands out in all curves of its section ---

const pinned = new WeakMap();

const highlight = (section, agent) => {
  for (const mark of all("svg g[class^=agent-]", section)) {
    mark.classList.toggle("faded", agent !== null && !mark.classList.contains(`agent-${agent}`));
  }
};

const watchLegend = (section) => {
  for (const button of all("button.key", section)) {
    const agent = button.dataset.key;
    button.addEventListener("pointerenter", () => highlight(section, agent));
    button.addEventListener("pointerleave", () => highlight(section, pinned.get(section) ?? null));
    button.addEventListener("click", () => {
      const now = pinned.get(section) === agent ? null : agent;
      pinned.set(section, now);
      for (const other of all("button.key", section)) {
        other.setAttribute("aria-pressed", String(other.dataset.key === now));
      }
      highlight(section, now);
    });
  }
};

// --- listening ---

for (const table of all("table[data-name]")) {
  for (const header of all("thead th[data-column]", table)) {
    header.querySelector("button").addEventListener("click", () => onSort(table, header));
  }
}
for (const name of FILTERS) {
  control(name)?.addEventListener("change", (event) => {
    const usual = event.target.dataset.usual ?? "";
    setState(name, event.target.value === usual ? null : event.target.value);
    filter();
    say(document.querySelector("[data-count]")?.textContent ?? "");
  });
}
for (const row of all("tr.row")) {
  row.querySelector("button.open").addEventListener("click", () => {
    const open = !isOpen(row);
    setOpen(row, open);
    setState("row", open ? row.id.slice("row-".length) : null);
  });
}
for (const link of all("a.film")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const image = link.querySelector("img");
    const playing = image.getAttribute("src") === link.getAttribute("href");
    image.src = playing ? link.dataset.still : link.getAttribute("href");
  });
}
for (const button of all("button.reset")) {
  button.addEventListener("click", () => {
    for (const name of FILTERS) setState(name, null);
    apply();
    say("Filters cleared.");
  });
}
for (const button of all("button.theme")) button.addEventListener("click", toggleTheme);
for (const section of all("[data-legend]")) watchLegend(section);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
addEventListener("hashchange", () => {
  // A link within the page has moved there; what is shown stays, and the address says it again.
  if (location.hash.length > 1 && !location.hash.includes("=")) {
    if (state.size) writeHash();
    return;
  }
  state = readHash();
  apply();
});
showTheme();
apply();
