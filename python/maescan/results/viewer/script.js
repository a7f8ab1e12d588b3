"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const [opacity, slider, where, profile, canvas] = ["opacity", "slice", "where", "profile", "view"].map((id) => document.getElementById(id));
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const unpack = async (text) => new Uint8Array(await new Response(new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
const highest = Math.max(1e-9, ...facts.scores);
let show = () => {};

function draw_profile() {
  const width = 1000 / facts.scores.length, shapes = [];
  facts.scores.forEach((score, i) => {
    if (score === null) return;
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = Math.max(1, 140 * Math.max(0, score) / highest);
    for (const [name, value] of Object.entries({x: i * width, y: 150 - height, width: Math.max(width - 0.5, 0.5), height})) bar.setAttribute(name, value);
    if (facts.highest.includes(i)) bar.setAttribute("class", "highest");
    shapes.push(bar);
  });
  const here = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({class: "here", y: 1, width, height: 148})) here.setAttribute(name, value);
  profile.replaceChildren(...shapes, here);
  return here;
}

const here = draw_profile();
function go(slice, from) {
  const at = Math.min(facts.scores.length - 1, Math.max(0, Math.round(slice)));
  slider.value = at;
  here.setAttribute("x", at * 1000 / facts.scores.length);
  where.textContent = `slice ${at}: ${facts.scores[at] === null ? facts.unscored : `score ${facts.scores[at]}`}`;
  document.body.dataset.slice = at;
  if (from !== "view") show(at);
}
profile.addEventListener("click", (event) => {
  const box = profile.getBoundingClientRect();
  go(Math.floor((event.clientX - box.left) / box.width * facts.scores.length));
});
slider.addEventListener("input", () => go(Number(slider.value)));
document.addEventListener("keydown", (event) => {
  const step = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1}[event.key];
  if (step && event.target.tagName !== "INPUT") { event.preventDefault(); go(Number(slider.value) + step); }
});

/* NiiVue: three planes, the patient's right on the left. */
async function with_webgl(scan, heat) {
  const viewer = new niivue.Niivue({isRadiologicalConvention: true, backColor: [0, 0, 0, 1], crosshairColor: [1, 0.85, 0.3, 0.6], show3Dcrosshair: false, logLevel: "silent", loadingText: "", dragAndDropEnabled: false, isOrientationTextVisible: true, showAllOrientationMarkers: true, fontColor: [1, 0.85, 0.3, 1]});
  await viewer.attachToCanvas(canvas);
  const volume = (data, name, more) => niivue.NVImage.loadFromBase64({base64: data, name, ...more});
  viewer.addVolume(await volume(scan, "scan.nii.gz", {colormap: "gray", cal_min: 0, cal_max: 255, opacity: 1}));
  // red as opaque as the map is high; else NiiVue darkens the scan wherever the map is not exactly 0. It squares what is shown
  viewer.addColormap("heat", {R: [255, 255], G: [0, 0], B: [0, 0], A: [0, 255], I: [0, 255]});
  const red = await volume(heat, "map.nii.gz", {colormap: "heat", cal_min: facts.full, cal_max: facts.full, opacity: 0.6});
  red.img.forEach((value, i) => { red.img[i] = Math.sqrt(255 * value) + 0.5; });
  Object.assign(red, {colormapType: 1, cal_min: facts.full, cal_max: facts.full});
  viewer.addVolume(red);
  viewer.setSliceType(viewer.sliceTypeMultiplanar);
  viewer.setMultiplanarLayout(3);
  show = (slice) => {
    const place = viewer.scene.crosshairPos;
    place[2] = (slice + 0.5) / facts.scores.length;
    viewer.scene.crosshairPos = place;
    viewer.drawScene();
  };
  viewer.onLocationChange = (place) => go(place.vox[2], "view");
  opacity.addEventListener("input", () => viewer.setOpacity(1, opacity.value / 100));
}

/* Without WebGL2: the axial slice on a plain canvas. */
async function with_canvas(scan, heat) {
  const [columns, rows, slices] = facts.shape, [wide, tall] = facts.spacing;
  const [grey, red] = (await Promise.all([unpack(scan), unpack(heat)])).map((all) => all.subarray(352));
  const picture = new ImageData(columns, rows), drawn = Object.assign(document.createElement("canvas"), {width: columns, height: rows});
  document.getElementById("sides").hidden = false;
  show = (slice) => {
    const weight = opacity.value / 100;
    for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
      const from = (slice * rows + rows - 1 - y) * columns + columns - 1 - x, to = 4 * (y * columns + x);
      const heated = red[from] / 255 * weight, value = grey[from];
      picture.data[to] = Math.max(value, 255 * heated);
      picture.data[to + 1] = picture.data[to + 2] = value * (1 - heated);
      picture.data[to + 3] = 255;
    }
    drawn.getContext("2d").putImageData(picture, 0, 0);
    const box = canvas.getBoundingClientRect(), plain = canvas.getContext("2d");
    canvas.width = box.width; canvas.height = box.height;
    const scale = Math.min(box.width / (columns * wide), box.height / (rows * tall));
    const [width, height] = [columns * wide * scale, rows * tall * scale];
    plain.drawImage(drawn, (box.width - width) / 2, (box.height - height) / 2, width, height);
  };
  if (slices !== facts.scores.length) throw new Error("slices and scores differ");
  opacity.addEventListener("input", () => show(Number(slider.value)));
  addEventListener("resize", () => show(Number(slider.value)));
}

const able = !location.hash.includes("plain") && document.createElement("canvas").getContext("webgl2");
(able ? with_webgl : with_canvas)(facts.scan, facts.map).then(() => {
  document.body.dataset.ready = able ? "webgl" : "canvas";
  go(facts.highest[0]);
  addEventListener("beforeprint", () => {  // a canvas on paper is stretched, or empty
    show(Number(slider.value));
    document.getElementById("paper").src = canvas.toDataURL();
  });
});
