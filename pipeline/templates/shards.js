"use strict";
// All shards, some rows at a time: filtered by file or hash, sorted by a column. Without scripts the first rows stand.
(() => {
  const data = JSON.parse(document.getElementById("shard-data").textContent);
  const table = document.getElementById("shard-table");
  const tools = document.getElementById("shard-tools");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const columns = headers.map((header) => Number(header.dataset.column));
  const most = body.rows.length;
  const pages = new Set(data.pages);
  const said = tools.querySelector("[role=status]");
  const search = tools.querySelector("input");
  const [back, on] = tools.querySelectorAll("button");
  const state = { found: data.rows, begin: 0, column: null, down: false };

  const count = (value) => value.toLocaleString("en-US");
  const bytes = (value) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let place = 0;
    for (; value >= 1000 && place < 4; place++) value /= 1000;
    return `${value.toFixed(place ? 1 : 0)} ${units[place]}`;
  };
  const duration = (value) => {
    if (value < 60) return `${value.toFixed(value < 1 ? 2 : 1)} s`;
    const seconds = Math.round(value);
    const minutes = Math.floor(seconds / 60);
    return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const same = (value) => value;
  const written = [same, count, count, bytes, bytes, count, duration, same];

  const linked = (cell, name) => {
    const page = name.split("/").pop().replace(".parquet", ".html");
    if (!pages.has(page)) return void (cell.textContent = name);
    const link = document.createElement("a");
    link.href = `shards/${encodeURIComponent(page)}`;
    link.textContent = name;
    cell.append(link);
  };
  const line = (row) => {
    const made = document.createElement("tr");
    for (const [place, column] of columns.entries()) {
      const cell = document.createElement(place ? "td" : "th");
      cell.className = place ? (column === 7 ? "hash" : "n") : "";
      if (place) cell.textContent = row[column] === null ? "" : written[column](row[column]);
      else {
        cell.scope = "row";
        linked(cell, row[column]);
      }
      made.append(cell);
    }
    return made;
  };
  const show = () => {
    const end = Math.min(state.begin + most, state.found.length);
    body.replaceChildren(...state.found.slice(state.begin, end).map(line));
    said.textContent = state.found.length
      ? `${count(state.begin + 1)} to ${count(end)} of ${count(state.found.length)}`
      : "No shard has this in its name or hash.";
    back.disabled = state.begin === 0;
    on.disabled = end === state.found.length;
  };
  const compared = (one, other) => {
    const [a, b] = [one[state.column], other[state.column]];
    if (a === null || b === null) return (a === null) - (b === null);
    return (a < b ? -1 : Number(a > b)) * (state.down ? -1 : 1);
  };
  const find = () => {
    const wanted = search.value.trim().toLowerCase();
    state.found = data.rows.filter((row) => `${row[0]} ${row[7]}`.toLowerCase().includes(wanted));
    if (state.column !== null) state.found.sort(compared);
    state.begin = 0;
    show();
  };
  const sort = (header, column) => {
    state.down = state.column === column ? !state.down : column > 0 && column < 7;
    state.column = column;
    for (const other of headers) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    find();
  };

  headers.forEach((header, place) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, columns[place]));
    header.append(button);
  });
  search.addEventListener("input", find);
  back.addEventListener("click", () => ((state.begin -= most), show()));
  on.addEventListener("click", () => ((state.begin += most), show()));
  document.getElementById("shard-note").hidden = true;
  tools.hidden = false;
  show();
})();
