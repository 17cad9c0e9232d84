// Rows without a value stay last, whichever way a column is sorted; the first click puts the best first.
function compare(one, other, kind, sign) {
  if (one === "" || other === "") return (one === "") - (other === "");
  return sign * (kind === "number" ? one - other : one.localeCompare(other, undefined, { numeric: true }));
}
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const turned = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const order = head.hasAttribute("aria-sort") ? turned : first;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const value = (row) => row.cells[head.cellIndex].dataset.value;
    const sign = order === "ascending" ? 1 : -1;
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b), head.dataset.kind, sign)));
  });
}
for (const box of document.querySelectorAll("[data-run]")) {
  const show = () => {
    for (const drawn of document.getElementsByClassName(box.dataset.run)) drawn.style.display = box.checked ? "" : "none";
  };
  box.addEventListener("change", show);
  show(); // a reloaded page may remember what was chosen
}
