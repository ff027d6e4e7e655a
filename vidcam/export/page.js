"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const film = by("film"), heat = by("heat"), blend = by("blend"), colours = by("colours"), curve = by("curve");
  const frames = data.edges.length - 1, duration = data.edges[frames];
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const ramps = Object.fromEntries(Object.entries(data.colours).map(([name, text]) => [name, bytes(text)]));
  for (const view of data.views) view.maps = bytes(view.maps);
  let view = data.views[0], frame = 0, stretch = null, drawn = "";

  // Where the film is: the last frame that has begun.
  const frameAt = (seconds) => {
    let low = 0, high = frames - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.edges[middle] <= seconds + 1e-4) low = middle; else high = middle - 1;
    }
    return low;
  };
  const middleOf = (index) => (data.edges[index] + data.edges[index + 1]) / 2;

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

  // The heat of a frame, coloured, on a canvas of the region seen.
  function paint(canvas, index, opacity, width) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (opacity === 0) return;
    const [rows, columns] = view.grid, [left, top, right, bottom] = data.region;
    const w = Math.max(2, Math.round(width * (right - left) / data.size[0]));
    const h = Math.max(2, Math.round(w * (bottom - top) / (right - left)));
    const image = new ImageData(w, h), ramp = ramps[colours.value], base = index * rows * columns;
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
    const sx = canvas.width / data.size[0], sy = canvas.height / data.size[1];
    context.imageSmoothingQuality = "high";
    context.drawImage(small, left * sx, top * sy, (right - left) * sx, (bottom - top) * sy);
  }
  const opacity = () => blend.value / 100;
  const amount = (index) => view.bounded ? view.scores[index].toFixed(2) : `${Number(view.scores[index].toPrecision(4))} ${view.unit}`.trim();

  function show() {
    const state = [data.views.indexOf(view), frame, opacity(), colours.value, heat.width].join();
    if (state === drawn) return;
    drawn = state;
    paint(heat, frame, opacity(), 192);
    if (!curve) return;
    by("clock").textContent = `${data.edges[frame].toFixed(2)} s, frame ${frame}`;
    curve.setAttribute("aria-valuenow", data.edges[frame].toFixed(3));
    curve.setAttribute("aria-valuetext", `${data.edges[frame].toFixed(2)} seconds, score ${amount(frame)}`);
    const head = curve.querySelector(".head");
    const x = 1000 * middleOf(frame) / duration;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
  }

  // The curve: score as a line, evidence as an area, segments as bars above them.
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  function plot() {
    curve.setAttribute("viewBox", "0 0 1000 140");
    curve.replaceChildren();
    const low = view.bounded ? 0 : Math.min(0, ...view.scores), high = view.bounded ? 1 : Math.max(...view.scores, low + 1e-9);
    const x = (i) => 1000 * middleOf(i) / duration, y = (v) => 134 - 108 * (v - low) / (high - low);
    const area = view.evidence.map((v, i) => `${x(i).toFixed(2)},${(134 - 108 * v).toFixed(2)}`);
    curve.append(element("polygon", { class: "area", points: [`${x(0)},134`, ...area, `${x(frames - 1)},134`].join(" ") }));
    const line = view.scores.map((v, i) => `${x(i).toFixed(2)},${y(v).toFixed(2)}`).join(" ");
    curve.append(element("polyline", { class: "line", points: line }));
    const best = Math.max(1e-9, ...view.segments.map((s) => s[2]));
    for (const [start, end, score] of view.segments) {
      const bar = { class: "stretch", x: 1000 * start / duration, y: 6, height: 10, width: 1000 * (end - start) / duration };
      curve.append(element("rect", { ...bar, opacity: 0.3 + 0.7 * score / best }));
    }
    if (stretch) {
      const [from, to] = stretch.map((t) => 1000 * t / duration);
      curve.append(element("rect", { class: "loop", x: from, y: 0, height: 140, width: to - from }));
    }
    curve.append(element("line", { class: "head", y1: 0, y2: 140 }));
    by("segments").replaceChildren(...view.segments.map(([start, end, score]) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = `${start.toFixed(2)} to ${end.toFixed(2)} s (score ${score.toFixed(3)})`;
      button.addEventListener("click", () => repeat(start, end));
      item.append(button);
      return item;
    }));
  }
  function filmstrip() {
    if (!by("strip")) return;
    by("strip").replaceChildren(...view.strongest.map((index) => {
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      const text = document.createElement("span"), picture = new Image();
      button.type = "button";
      button.setAttribute("aria-label", `Go to ${data.edges[index].toFixed(2)} seconds`);
      text.textContent = `${data.edges[index].toFixed(2)} s · ${view.bounded ? "score " : ""}${amount(index)}`;
      picture.onload = () => {
        canvas.width = 240;
        canvas.height = Math.round(240 / data.aspect);
        const layer = document.createElement("canvas");
        [layer.width, layer.height] = [canvas.width, canvas.height];
        paint(layer, index, opacity(), 96);
        const context = canvas.getContext("2d");
        context.drawImage(picture, 0, 0, canvas.width, canvas.height);
        context.drawImage(layer, 0, 0);
      };
      picture.src = `data:image/jpeg;base64,${data.thumbs[index]}`;
      button.append(canvas, text);
      button.addEventListener("click", () => seek(middleOf(index)));
      return button;
    }));
  }

  function seek(seconds) {
    film.currentTime = Math.min(Math.max(0, seconds), duration - 1e-3);
    frame = frameAt(film.currentTime);
    show();
  }
  function step(count) {
    film.pause();
    seek(middleOf(Math.min(frames - 1, Math.max(0, frame + count))));
  }
  function toggle() {
    if (film.paused) film.play(); else film.pause();
  }
  function repeat(from, to) {
    stretch = from === null ? null : [from, to];
    by("whole").hidden = !stretch;
    plot();
    drawn = "";
    if (stretch) seek(from);
    show();
  }

  function choose() {
    view = data.views[Number(document.querySelector("input[name=view]:checked").value)];
    repaint();
  }
  function repaint() {
    drawn = "";
    if (curve) {
      plot();
      filmstrip();
    }
    const scale = by("scale");
    if (scale) {
      const ramp = ramps[colours.value], image = new ImageData(256, 1);
      for (let i = 0; i < 256; i++) image.data.set([ramp[3 * i], ramp[3 * i + 1], ramp[3 * i + 2], 255], 4 * i);
      scale.getContext("2d").putImageData(image, 0, 0);
      by("end").textContent = view.end;
    }
    show();
  }

  by("picture").style.aspectRatio = String(data.aspect);
  // In a frame as high as the page, the picture must not grow with the frame.
  const high = parent === window ? "70vh" : `${0.7 * innerHeight}px`;
  by("picture").style.maxWidth = `calc(${high} * ${data.aspect})`;
  new ResizeObserver(() => {
    heat.width = Math.max(2, Math.round(heat.clientWidth * devicePixelRatio));
    heat.height = Math.max(2, Math.round(heat.clientHeight * devicePixelRatio));
    drawn = "";
    show();
  }).observe(heat);
  for (const radio of document.querySelectorAll("input[name=view]")) radio.addEventListener("change", choose);
  blend.addEventListener("input", () => { show(); if (curve) filmstrip(); });
  colours.addEventListener("change", repaint);
  if (curve) {
    by("play").addEventListener("click", toggle);
    by("back").addEventListener("click", () => step(-1));
    by("on").addEventListener("click", () => step(1));
    by("whole").addEventListener("click", () => repeat(null, null));
    film.addEventListener("play", () => { by("play").textContent = "❚❚"; by("play").setAttribute("aria-label", "Pause"); });
    film.addEventListener("pause", () => { by("play").textContent = "▶"; by("play").setAttribute("aria-label", "Play"); });
    let from = null;
    const timeOf = (event) => {
      const box = curve.getBoundingClientRect();
      return duration * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    curve.addEventListener("pointerdown", (event) => { from = timeOf(event); curve.setPointerCapture(event.pointerId); });
    curve.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const to = timeOf(event);
      if (Math.abs(to - from) > 0.02 * duration) {
        stretch = [Math.min(from, to), Math.max(from, to)];
        plot();
        drawn = "";
        show();
      }
    });
    curve.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const to = timeOf(event), dragged = Math.abs(to - from) > 0.02 * duration;
      if (dragged) repeat(Math.min(from, to), Math.max(from, to)); else seek(middleOf(frameAt(to)));
      from = null;
    });
    document.addEventListener("keydown", (event) => {
      const control = event.target.closest("input, select, button, summary");
      if (event.key === " " && !control) toggle();
      else if (event.key === "ArrowLeft" && !(control && control.matches("input, select"))) step(-1);
      else if (event.key === "ArrowRight" && !(control && control.matches("input, select"))) step(1);
      else if (event.key === "Home" && !control) seek(0);
      else if (event.key === "End" && !control) seek(duration);
      else return;
      event.preventDefault();
    });
    const follow = () => {
      if (stretch && !film.paused && (film.currentTime >= stretch[1] || film.currentTime < stretch[0] - 0.05)) film.currentTime = stretch[0];
      frame = frameAt(film.currentTime);
      show();
      requestAnimationFrame(follow);
    };
    const strongest = view.evidence.indexOf(Math.max(...view.evidence));
    const open = () => { if (view.evidence[strongest] > 0) seek(middleOf(strongest)); };
    if (film.readyState > 0) open(); else film.addEventListener("loadedmetadata", open, { once: true });
    film.addEventListener("seeked", () => { frame = frameAt(film.currentTime); show(); });
    requestAnimationFrame(follow);
  }
  repaint();
  // In a frame that may not look into this page, such as the one of `vidcam app`, the page says how high it is.
  const root = document.documentElement;
  if (parent !== window) new ResizeObserver(() => parent.postMessage({ height: root.offsetHeight }, "*")).observe(root);
})();
