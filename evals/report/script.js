// Sorting and filtering of the feature table, j / k to walk through the sections, and the details of those that come into view.
"use strict";
const table = document.getElementById("features");
if (table) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const search = document.getElementById("search");
  const kind = document.getElementById("kind");
  const count = document.getElementById("count");

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word)) && (!kind.value || row.dataset.kind === kind.value);
      row.classList.toggle("hidden", !fits);
      shown += fits;
    }
    count.textContent = shown + " of " + rows.length + " features";
  };
  search.addEventListener("input", show);
  kind.addEventListener("change", show);

  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th");
    if (!head) return;
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[head.cellIndex];
      return cell.dataset.v === undefined ? cell.textContent : cell.dataset.v === "" ? NaN : Number(cell.dataset.v);
    };
    const compare = (one, two) => {
      const [a, b] = [key(one), key(two)];
      if (typeof a === "string") return down ? a.localeCompare(b) : b.localeCompare(a);
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return down ? b - a : a - b;
    };
    rows.sort(compare);
    body.append(...rows);
  });
  show();
}
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { document.getElementById("search").focus(); event.preventDefault(); return; }
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const sections = Array.from(document.querySelectorAll("article"));
  const here = sections.findIndex((section) => "#" + section.id === location.hash);
  const next = sections[here < 0 ? 0 : here + step];
  if (next) location.hash = next.id;
});

const packs = new Map();
const details = (number) => {
  if (!packs.has(number)) {
    const bytes = Uint8Array.from(atob(document.getElementById("pack" + number).textContent), (c) => c.charCodeAt(0));
    const text = new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
    packs.set(number, text.then(JSON.parse));
  }
  return packs.get(number);
};
const fill = async (hole) => {
  const found = await details(hole.dataset.pack);
  if (!hole.hasChildNodes()) hole.innerHTML = found[hole.dataset.at];
};
const holes = Array.from(document.querySelectorAll("[data-pack]"));
const near = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (isIntersecting) { near.unobserve(target); fill(target); }
  }
}, { rootMargin: "1500px" });
for (const hole of holes) near.observe(hole);
const arrive = async () => {
  const article = location.hash && document.getElementById(location.hash.slice(1));
  const hole = article && article.querySelector("[data-pack]");
  if (hole) { await fill(hole); article.scrollIntoView(); }
};
window.addEventListener("hashchange", arrive);
arrive();
window.addEventListener("beforeprint", () => holes.forEach(fill));
