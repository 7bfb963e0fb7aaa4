"use strict";
// A click on a head sorts a table; rows beside the settings (references) stay below.

function value(cell) {
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = cell.textContent.trim();
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
}

function compareCells(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1; // numbers before what has none
  if (typeof b === "number") return 1;
  return a.localeCompare(b, undefined, { numeric: true });
}

function sortBy(table, th) {
  const column = [...th.parentNode.children].indexOf(th);
  const down = th.getAttribute("aria-sort") === "ascending";
  for (const other of th.parentNode.children) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => !row.classList.contains("beside"));
  const beside = [...body.rows].filter((row) => row.classList.contains("beside"));
  rows.sort((a, b) => compareCells(value(a.cells[column]), value(b.cells[column])) * (down ? -1 : 1));
  body.append(...rows, ...beside);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const th of table.tHead.rows[0].cells) {
    th.addEventListener("click", () => sortBy(table, th));
    th.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(table, th); });
  }
}
