"use strict";
// All text goes into the page as text (textContent), never as HTML.
const find = (selector, root = document) => root.querySelector(selector);
const state = { sort: "", descending: false, page: 0 };
const shown = [...document.querySelectorAll("[data-sort]")].map((button) => button.dataset.sort);

function made(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

async function answer(name, asked, signal) {
  const response = await fetch(`${name}?${new URLSearchParams(asked)}`, { signal });
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

function filters() {
  return [...document.querySelectorAll("#filters .filter")].map((row) => {
    const [column, comparison] = row.querySelectorAll("select");
    return { column: column.value, comparison: comparison.value, value: find("input", row).value };
  });
}

function addFilter() {
  const row = find("#filter").content.cloneNode(true).firstElementChild;
  find("button", row).addEventListener("click", () => row.remove());
  const [, comparison] = row.querySelectorAll("select");
  comparison.addEventListener("change", () => { find("input", row).disabled = ["is empty", "is there"].includes(comparison.value); });
  find("#filters").append(row);
  find("select", row).focus();
}

function told(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : value.toPrecision(4);
}

// A question ends the one before it, here and (by the name of this page) at the server. A search in texts is asked
// again and again, and goes on each time, until a page is full and nothing found later can come before it.
const asker = String(Math.random()).slice(2);
let asking = new AbortController();
async function list() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const busy = (is) => { find("#list").setAttribute("aria-busy", String(is)); find("#stop").hidden = !is; };
  busy(true);
  find("#problem").textContent = "";
  const began = performance.now();
  const asked = {
    filters: JSON.stringify(filters()), text: find("#text").value, asker,
    sort: state.sort, descending: state.descending ? "yes" : "no", page: state.page,
  };
  try {
    for (let over = false; !over;) {
      const found = await answer("documents", asked, signal);
      show(found, (performance.now() - began) / 1000);
      over = found.finished || (!state.sort && found.rows.length === found.page);
    }
  } catch (error) {
    if (!signal.aborted) find("#problem").textContent = error.message;
  } finally {
    if (!signal.aborted) busy(false);
  }
}

const count = (number) => number.toLocaleString("en");

function show(found, seconds) {
  const whole = found.searched === found.of;
  const place = found.of === undefined ? "" : whole ? "" : ` found in ${count(found.searched)} of ${count(found.of)}`;
  const left = found.finished && !whole ? ", too many to go on" : "";
  find("#list tbody").replaceChildren(...found.rows.map(row));
  find("#count").textContent = `${count(found.count)} document${found.count === 1 ? "" : "s"}${place}${left}, ${seconds.toFixed(2)} s`;
  const pages = found.finished ? ` of ${count(Math.max(1, Math.ceil(found.count / found.page)))}` : "";
  find("#place").textContent = `page ${count(state.page + 1)}${pages}`;
  find("#before").disabled = state.page === 0;
  find("#after").disabled = (state.page + 1) * found.page >= found.count && (found.finished || found.rows.length < found.page);
  mark();
}

function row(document_) {
  const line = made("tr", undefined, document_.outcome === "kept" ? "kept" : "dropped");
  for (const name of shown) {
    const number = typeof document_[name] === "number";
    const cell = made("td", undefined, number ? "n" : name === "id" || name === "outcome" ? name : "");
    cell.dir = "auto";
    if (name === "id") {
      const button = made("button", document_.id, "open");
      button.type = "button";
      button.addEventListener("click", () => open_(document_));
      cell.append(button);
    } else {
      cell.textContent = told(document_[name]);
      cell.title = cell.textContent;
    }
    line.append(cell);
  }
  return line;
}

function mark() {
  for (const button of document.querySelectorAll("[data-sort]")) {
    const head = button.closest("th");
    if (button.dataset.sort === state.sort) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

async function open_(document_, uncover = "no") {
  let found;
  try {
    found = await answer("document", { place: document_.place, row: document_.row, uncover });
  } catch (error) {
    find("#one").close();
    find("#problem").textContent = error.message;
    return;
  }
  find("#one-id").textContent = document_.id;
  const scores = made("div", undefined, "scores");
  for (const [name, value] of Object.entries(found.columns)) {
    if (name === "id") continue;
    const one = made("span", `${name} `);
    one.append(made("b", typeof value === "object" ? JSON.stringify(value) : told(value)));
    scores.append(one);
  }
  const body = [];
  if (found.hidden) {
    const button = made("button", "Show the text, which a filter took for harmful");
    button.type = "button";
    button.id = "uncover";
    button.addEventListener("click", () => open_(document_, "yes"));
    body.push(button);
  } else if (found.text === null) body.push(made("p", "Its text was not kept.", "soft"));
  else {
    const text = made("div", found.text, "text");
    text.dir = "auto";
    text.tabIndex = 0;
    body.push(text);
    if (found.left_out) body.push(made("p", `${found.left_out.toLocaleString("en")} more characters are not shown.`, "soft"));
  }
  find("#one-body").replaceChildren(...body, scores);
  if (!find("#one").open) find("#one").showModal();
}

function first() { state.page = 0; list(); }
find("#add").addEventListener("click", addFilter);
find("#question").addEventListener("submit", (event) => { event.preventDefault(); first(); });
find("#stop").addEventListener("click", () => { asking.abort(); find("#list").setAttribute("aria-busy", "false"); find("#stop").hidden = true; });
find("#before").addEventListener("click", () => { state.page -= 1; list(); });
find("#after").addEventListener("click", () => { state.page += 1; list(); });
find("#one .close").addEventListener("click", () => find("#one").close());
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    state.descending = state.sort === button.dataset.sort && !state.descending;
    state.sort = button.dataset.sort;
    first();
  });
}
list();
