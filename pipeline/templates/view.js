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

async function answer(name, asked) {
  const response = await fetch(`${name}?${new URLSearchParams(asked)}`);
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
  find("#filters").append(row);
  find("select", row).focus();
}

const told = (value) => (value === null || value === undefined ? "" : typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(4) : String(value));

let latest = 0;
async function list() {
  const mine = ++latest;
  const table = find("#list");
  table.setAttribute("aria-busy", "true");
  find("#problem").textContent = "";
  const began = performance.now();
  try {
    const found = await answer("documents", {
      filters: JSON.stringify(filters()), text: find("#text").value,
      sort: state.sort, descending: state.descending ? "yes" : "no", page: state.page,
    });
    if (mine !== latest) return;
    const spent = ((performance.now() - began) / 1000).toFixed(2);
    find("tbody", table).replaceChildren(...found.rows.map(row));
    find("#count").textContent = `${found.count === null ? "" : `${found.count.toLocaleString("en")} documents, `}${spent} s`;
    find("#place").textContent = `page ${(state.page + 1).toLocaleString("en")}${found.count === null ? "" : ` of ${Math.max(1, Math.ceil(found.count / 50)).toLocaleString("en")}`}`;
    find("#before").disabled = state.page === 0;
    find("#after").disabled = found.rows.length < 50 || (found.count !== null && (state.page + 1) * 50 >= found.count);
    mark();
  } catch (error) {
    if (mine === latest) find("#problem").textContent = error.message;
  } finally {
    if (mine === latest) table.setAttribute("aria-busy", "false");
  }
}

function row(document_) {
  const line = made("tr", undefined, document_.outcome === "kept" ? "" : "dropped");
  for (const name of shown) {
    const number = typeof document_[name] === "number";
    const cell = made("td", undefined, number ? "n" : name === "id" ? "id" : "");
    cell.dir = "auto";
    if (name === "id") {
      const button = made("button", document_.id, "open");
      button.type = "button";
      button.addEventListener("click", () => open_(document_));
      cell.append(button);
    } else cell.textContent = told(document_[name]);
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
  const found = await answer("document", { place: document_.place, row: document_.row, uncover });
  find("#one-id").textContent = document_.id;
  const scores = made("div", undefined, "scores");
  for (const [name, value] of Object.entries(found.columns)) {
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
