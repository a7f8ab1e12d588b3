"use strict";
const root = document.documentElement, all = (of, what) => [...of.querySelectorAll(what)];
const table = document.querySelector("#scans"), body = table.tBodies[0], rows = [...body.rows];
const search = document.querySelector("#search"), selects = all(document, "[data-filter]"), opacity = document.querySelector("#opacity");
const text = new Map(rows.map(row => [row, row.cells[0].textContent.toLowerCase()]));
const cardOf = row => document.getElementById("s" + row.id.slice(1));
let chosen = null;

// a tile: one slice of a picture; row 0 is the slice, 1 its reconstruction, 2 its map
const layer = (source, column, columns, row, kind) => {
  const made = document.createElement("i");
  made.className = kind;
  made.style.backgroundImage = `url("${source}")`;
  made.style.backgroundSize = `${100 * columns}% 300%`;
  made.style.backgroundPosition = `${columns > 1 ? 100 * column / (columns - 1) : 0}% ${50 * row}%`;
  return made;
};
const tile = (source, column, columns, marks, ...layers) => {
  const made = document.createElement("div");
  made.className = "tile";
  for (const [row, kind] of layers) made.append(layer(source, column, columns, row, kind));
  for (const letter of marks) made.append(Object.assign(document.createElement("b"), {className: letter.toLowerCase(), textContent: letter}));
  return made;
};
const OVERLAY = [[0, ""], [2, "heat over"]];

const show = (card, column) => {  // a slice of the strip, large
  const figure = card.querySelector(".strip"), source = figure.querySelector("img").src, columns = +figure.dataset.columns;
  const parts = [["RLAP", OVERLAY, "slice, in colour where it is unlike"], ["", [[1, ""]], "what the model expects"], ["", [[2, "heat"]], document.querySelector(".scale").dataset.values]];
  figure.querySelector(".view").replaceChildren(...parts.map(([marks, layers, said]) => {
    const made = document.createElement("figure");
    made.style.margin = 0;
    made.append(tile(source, column, columns, marks, ...layers), Object.assign(document.createElement("figcaption"), {textContent: said}));
    return made;
  }));
  const at = all(figure, ".places li");
  at.forEach((item, i) => item.classList.toggle("on", i == column));
  for (const mark of all(card, ".mark")) mark.classList.toggle("on", mark.dataset.at == at[column].dataset.at);
};

const build = card => {  // once, when a scan is first looked at
  card.dataset.built = "yes";
  const back = Object.assign(document.createElement("button"), {className: "back", textContent: "\u2039 all scans"});
  back.onclick = () => { root.classList.remove("reading"); chosen?.scrollIntoView({block: "center"}); };
  card.prepend(back);
  const figure = card.querySelector(".strip"), svg = card.querySelector(".profile svg");
  if (figure) {
    const source = figure.querySelector("img").src, columns = +figure.dataset.columns;
    figure.prepend(Object.assign(document.createElement("div"), {className: "view"}));
    all(figure, ".places li").forEach((item, i) => {
      item.prepend(tile(source, i, columns, i ? "" : "RL", ...OVERLAY));
      item.tabIndex = 0;
      item.onclick = () => show(card, i);
      item.onkeydown = event => { if (event.key == "Enter") show(card, i); };
    });
    for (const mark of all(svg, ".mark")) mark.onclick = () => show(card, all(figure, ".places li").findIndex(item => item.dataset.at == mark.dataset.at));
    show(card, 0);
  }
  const scores = svg.dataset.scores.split(" "), said = card.querySelector(".said"), where = svg.dataset.where?.split(" ");
  svg.onpointermove = event => {
    const box = svg.getBoundingClientRect(), last = scores.length - 1;
    const at = Math.max(0, Math.min(last, Math.round((event.clientX - box.left) / box.width * last)));
    let place = `${at}`;
    if (where) place += `, ${(+where[0] + at * where[1]).toFixed(1)} mm, voxel ${where[2]} ${+where[3] + at * where[4]}`;
    said.textContent = `${place}: ${scores[at] == "-" ? "missing, not scored" : `score ${scores[at]}`}`;
  };
  svg.onpointerleave = () => { said.textContent = ""; };
};

const choose = (row, reading) => {
  if (!row) return;
  chosen?.classList.remove("on");
  if (chosen) cardOf(chosen).classList.remove("on");
  chosen = row;
  const card = cardOf(row);
  row.classList.add("on");
  card.classList.add("on");
  if (!card.dataset.built) build(card);
  if (reading) root.classList.add("reading");
  row.scrollIntoView({block: "nearest"});
  if (reading && innerWidth <= 960) scrollTo(0, 0);
  if (reading) history.replaceState(null, "", "#" + card.id);
};
const visible = () => [...body.rows].filter(row => !row.hidden);
const step = by => {
  const shown = visible(), at = shown.indexOf(chosen);
  choose(shown[at < 0 ? 0 : Math.max(0, Math.min(shown.length - 1, at + by))], true);
};

const sift = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    row.hidden = !(words.every(word => text.get(row).includes(word)) && selects.every(of => !of.value || row.dataset[of.dataset.filter] == of.value));
    count += !row.hidden;
  }
  const all = `${rows.length} scan${rows.length == 1 ? "" : "s"}`;
  document.querySelector("#shown").textContent = count == rows.length ? all : `${count} of ${all}`;
};
search.oninput = sift;
for (const select of selects) select.onchange = sift;
const tint = value => root.style.setProperty("--heat", value / 100);
opacity.oninput = () => tint(opacity.value);
tint(opacity.value);
sift();

body.onclick = event => {
  const row = event.target.closest("tr");
  if (!row) return;
  event.preventDefault();
  choose(row, true);
};
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key == "Escape") { document.activeElement.blur(); root.classList.remove("reading"); return; }
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName) && document.activeElement.type != "range") return;
  if (event.key == "j" || event.key == "k") step(event.key == "j" ? 1 : -1);
  else if (event.key == "/") search.focus();
  else if (event.key == "o") { opacity.value = opacity.value > 0 ? 0 : 80; tint(opacity.value); }
  else return;
  event.preventDefault();
});

for (const sorted of all(document, "table")) for (const [column, head] of [...sorted.tHead.rows[0].cells].entries())
  head.firstElementChild.onclick = () => {
    const number = head.className == "n", down = head.ariaSort == (number ? "descending" : "ascending"), up = number ? down : !down;
    for (const other of sorted.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.ariaSort = up ? "ascending" : "descending";
    const of = row => row.cells[column].textContent, body = sorted.tBodies[0];
    const order = (a, b) => number ? of(a) - of(b) : of(a).localeCompare(of(b), "en", {numeric: true});
    const none = row => of(row) === "";  // of no p-value, say: it comes last either way
    body.append(...[...body.rows].sort((a, b) => none(a) - none(b) || (up ? order(a, b) : order(b, a))));
  };

const near = new IntersectionObserver(found => {  // small pictures in the list, when they come into sight
  for (const {isIntersecting, target} of found) if (isIntersecting) {
    near.unobserve(target);
    const figure = cardOf(target.closest("tr")).querySelector(".strip"), columns = +figure.dataset.columns;
    for (const [row, kind] of OVERLAY) target.append(layer(figure.querySelector("img").src, 0, columns, row, kind));
  }
}, {rootMargin: "200px"});
for (const thumb of all(body, ".thumb")) near.observe(thumb);

const named = /^#s\d+$/.test(location.hash) && document.getElementById("r" + location.hash.slice(2));
choose(named || rows[0], Boolean(named));
