"use strict";

// Tables: a button in each heading sorts the rows, numbers by value and words by alphabet; gaps come last.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent || "\u00a0";
    if (!heading.textContent) button.setAttribute("aria-label", "sort by this column");
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[column];
        return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
      };
      const text = (row) => row.cells[column].textContent.trim();
      const rows = [...body.rows];
      const numeric = rows.some((row) => value(row) !== null);
      rows.sort((first, second) => {
        if (!numeric) return direction * text(first).localeCompare(text(second), "en", { numeric: true });
        const one = value(first), other = value(second);
        if (one === null || other === null) return (one === null) - (other === null);
        return direction * (one - other);
      });
      body.append(...rows);
    });
  });
}

// Fooling curves: the pointer, or the arrow keys, read both curves at one perturbation.
const percent = (rate) => `${(100 * rate).toFixed(0)} %`;
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg"), cursor = svg.querySelector(".cursor"), output = chart.querySelector("output");
  const { left, right, largest, unit, curves } = JSON.parse(svg.dataset.curves);
  let epsilon = 0;
  const rateAt = ({ x, y }) => {
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] <= epsilon) low = middle + 1; else high = middle;
    }
    return low ? y[low - 1] : 0;
  };
  const read = (wanted) => {
    epsilon = Math.min(Math.max(wanted, 0), largest);
    const at = left + (largest ? epsilon / largest : 0) * (right - left);
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    cursor.removeAttribute("hidden");
    const rates = Object.entries(curves).map(([name, curve]) => `${name} ${percent(rateAt(curve))}`);
    const text = `at ${epsilon.toPrecision(3)} ${unit}: ${rates.join(", ")}`;
    output.textContent = text;
    svg.setAttribute("aria-valuenow", epsilon);
    svg.setAttribute("aria-valuetext", text);
  };
  svg.setAttribute("role", "slider");
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-valuemin", "0");
  svg.setAttribute("aria-valuemax", largest);
  svg.setAttribute("aria-valuenow", "0");
  const point = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    read(((at - left) / (right - left)) * largest);
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    if (event.key in steps) read(epsilon + (steps[event.key] * largest) / 100);
    else if (event.key === "Home") read(0);
    else if (event.key === "End") read(largest);
    else return;
    event.preventDefault();
  });
}

// Sounds: one at a time.
const sounds = [...document.querySelectorAll("audio")];
for (const sound of sounds) {
  sound.addEventListener("play", () => {
    for (const other of sounds) if (other !== sound) other.pause();
  });
}
