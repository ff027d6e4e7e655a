"use strict";
// Heat of the frames of a clip, coloured and interpolated as in films.

const by = (id) => document.getElementById(id);
const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// The last frame that has begun, of frames that begin at `edges`, in seconds.
function frameAt(edges, seconds) {
  let low = 0, high = edges.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= seconds + 1e-4) low = middle; else high = middle - 1;
  }
  return low;
}

// Positions along an axis of a map: shares of four cells by cubic convolution, and the two cells beside; as in
// vidcam/results/upsampling.py.
const kernel = (t) => {
  const s = Math.abs(t);
  return s < 1 ? (1.5 * s - 2.5) * s * s + 1 : s < 2 ? ((2.5 - 0.5 * s) * s - 4) * s + 2 : 0;
};
const placed = (pixels, cells) => Array.from({ length: pixels }, (_, k) => {
  const within = (cell) => Math.min(cells - 1, Math.max(0, cell));
  const at = within((k + 0.5) / pixels * cells - 0.5), before = Math.min(Math.floor(at), Math.max(0, cells - 2));
  const around = [-1, 0, 1, 2].map((offset) => before + offset);
  return { cells: around.map(within), shares: around.map((cell) => kernel(at - cell)) };
});
// The mean of four cells, limited to the range of the two beside.
const between = (cell, { cells: [a, b, c, d], shares }) => {
  const first = cell(b), second = cell(c);
  const mean = shares[0] * cell(a) + shares[1] * first + shares[2] * second + shares[3] * cell(d);
  return Math.min(Math.max(first, second), Math.max(Math.min(first, second), mean));
};

// Draw the heat of a frame on a canvas of the whole picture. `view` has `maps`, `grid` and `region`; `ramp` 256 colours;
// `width` is that of the whole picture in the pixels that heat is computed for.
function paintHeat(canvas, view, size, index, ramp, opacity, width) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (opacity === 0) return;
  const [rows, columns] = view.grid, [left, top, right, bottom] = view.region;
  const w = Math.max(2, Math.round(width * (right - left) / size[0]));
  const h = Math.max(2, Math.round(w * (bottom - top) / (right - left)));
  const image = new ImageData(w, h), base = index * rows * columns;
  const across = placed(w, columns), down = placed(h, rows), wide = [];
  for (let row = 0; row < rows; row++) {
    wide.push(across.map((place) => between((column) => view.maps[base + row * columns + column], place)));
  }
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const level = between((row) => wide[row][x], down[y]);
      const at = 4 * (y * w + x), colour = 3 * Math.round(level);
      image.data[at] = ramp[colour];
      image.data[at + 1] = ramp[colour + 1];
      image.data[at + 2] = ramp[colour + 2];
      image.data[at + 3] = level * opacity;
    }
  }
  const small = new OffscreenCanvas(w, h);
  small.getContext("2d").putImageData(image, 0, 0);
  const sx = canvas.width / size[0], sy = canvas.height / size[1];
  context.imageSmoothingQuality = "high";
  context.drawImage(small, left * sx, top * sy, (right - left) * sx, (bottom - top) * sy);
}

// Draw the colours of a colour bar on a canvas of 256 x 1 pixels.
function paintScale(canvas, ramp) {
  const image = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) image.data.set([ramp[3 * i], ramp[3 * i + 1], ramp[3 * i + 2], 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Give the picture its shape, at most 70 % of the window high, and its canvases the pixels of the screen.
function fitPicture(picture, aspect, canvases, drawAgain) {
  picture.style.aspectRatio = String(aspect);
  document.documentElement.style.setProperty("--aspect", aspect);
  // In a frame as high as the page, the picture must not grow with the frame.
  const high = parent === window ? "70vh" : `${0.7 * innerHeight}px`;
  picture.style.maxWidth = `calc(${high} * ${aspect})`;
  new ResizeObserver(() => {
    for (const canvas of canvases) {
      canvas.width = Math.max(2, Math.round(canvas.clientWidth * devicePixelRatio));
      canvas.height = Math.max(2, Math.round(canvas.clientHeight * devicePixelRatio));
    }
    drawAgain();
  }).observe(picture);
}

// Evidence and scores as every page writes them.
const written = (view, index) => view.bounded ? view.scores[index].toFixed(2)
  : `${Number(view.scores[index].toPrecision(4))} ${view.unit}`.trim();
const evidenceOf = (view, index) => String(Number((view.evidence[index] * view.highest).toPrecision(3)));
const scoreName = (view) => view.bounded ? "score" : "value";

// The button that plays and pauses a film, and its sign.
function playable(film, button) {
  const toggle = () => { if (film.paused) film.play(); else film.pause(); };
  const sign = (text, label) => () => { button.textContent = text; button.setAttribute("aria-label", label); };
  button.addEventListener("click", toggle);
  film.addEventListener("play", sign("❚❚", "Pause"));
  film.addEventListener("pause", sign("▶", "Play"));
  return toggle;
}
