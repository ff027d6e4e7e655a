(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const film = by("film"), heat = by("heat"), blend = by("blend"), colours = by("colours"), curve = by("curve");
  const frames = data.edges.length - 1, duration = data.edges[frames];
  const ramps = Object.fromEntries(Object.entries(data.colours).map(([name, text]) => [name, bytesOf(text)]));
  for (const view of data.views) view.maps = bytesOf(view.maps);
  let view = data.views[0], frame = 0, stretch = null, drawn = "";

  const middleOf = (index) => (data.edges[index] + data.edges[index + 1]) / 2;

  const opacity = () => blend.value / 100;
  const paint = (canvas, index, width) =>
    paintHeat(canvas, view, data.size, index, ramps[colours.value], opacity(), width);

  function show() {
    const state = [data.views.indexOf(view), frame, opacity(), colours.value, heat.width].join();
    if (state === drawn) return;
    drawn = state;
    paint(heat, frame, 192);
    if (!curve) return;
    by("clock").textContent = `${data.edges[frame].toFixed(2)} s, frame ${frame}`;
    by("score").textContent = `${scoreName(view)} ${written(view, frame)}`;
    by("evidence").textContent = `evidence ${evidenceOf(view, frame)}`;
    curve.setAttribute("aria-valuenow", data.edges[frame].toFixed(3));
    curve.setAttribute("aria-valuetext", `${data.edges[frame].toFixed(2)} seconds, ${scoreName(view)} ${written(view, frame)}, evidence ${evidenceOf(view, frame)}`);
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
      button.textContent = `${start.toFixed(2)} to ${end.toFixed(2)} s · confidence ${score.toFixed(3)}`;
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
      text.textContent = `${data.edges[index].toFixed(2)} s · evidence ${evidenceOf(view, index)}, ${scoreName(view)} ${written(view, index)}`;
      picture.onload = () => {
        canvas.width = 240;
        canvas.height = Math.round(240 / data.aspect);
        const layer = document.createElement("canvas");
        [layer.width, layer.height] = [canvas.width, canvas.height];
        paint(layer, index, 96);
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
    frame = frameAt(data.edges, film.currentTime);
    show();
  }
  function step(count) {
    film.pause();
    seek(middleOf(Math.min(frames - 1, Math.max(0, frame + count))));
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
      paintScale(scale, ramps[colours.value]);
      by("end").textContent = view.end;
    }
    show();
  }

  fitPicture(by("picture"), data.aspect, [heat], () => { drawn = ""; show(); });
  repaint();
  for (const radio of document.querySelectorAll("input[name=view]")) radio.addEventListener("change", choose);
  blend.addEventListener("input", () => { show(); if (curve) filmstrip(); });
  colours.addEventListener("change", repaint);
  if (curve) {
    const toggle = playable(film, by("play"));
    by("back").addEventListener("click", () => step(-1));
    by("on").addEventListener("click", () => step(1));
    by("whole").addEventListener("click", () => repeat(null, null));
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
      if (dragged) repeat(Math.min(from, to), Math.max(from, to)); else seek(middleOf(frameAt(data.edges, to)));
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
      frame = frameAt(data.edges, film.currentTime);
      show();
      requestAnimationFrame(follow);
    };
    const strongest = view.evidence.indexOf(Math.max(...view.evidence));
    const open = () => { if (view.evidence[strongest] > 0) seek(middleOf(strongest)); };
    if (film.readyState > 0) open(); else film.addEventListener("loadedmetadata", open, { once: true });
    film.addEventListener("seeked", () => { frame = frameAt(data.edges, film.currentTime); show(); });
    requestAnimationFrame(follow);
  }
  // In a frame that may not look into this page, such as the one of `vidcam app`, the page says how high it is.
  const root = document.documentElement;
  if (parent !== window) new ResizeObserver(() => parent.postMessage({ height: root.offsetHeight }, "*")).observe(root);
})();
