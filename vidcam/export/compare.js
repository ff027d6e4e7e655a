(() => {
  const data = JSON.parse(by("data").textContent);
  const film = by("film"), picture = by("picture"), wipe = by("wipe"), blend = by("blend"), colours = by("colours");
  const seek = by("seek"), frames = data.edges.length - 1, duration = data.edges[frames];
  const ramps = Object.fromEntries(Object.entries(data.colours).map(([name, text]) => [name, bytesOf(text)]));
  for (const pane of data.panes) pane.maps = bytesOf(pane.maps);
  const paneOf = (side) => data.panes[Number(by(`${side}-pane`).value)];
  const middleOf = (index) => (data.edges[index] + data.edges[index + 1]) / 2;
  let frame = 0, share = 50, drawn = "";

  function show() {
    const state = [frame, blend.value, colours.value, by("left-pane").value, by("right-pane").value, by("left").width].join();
    if (state === drawn) return;
    drawn = state;
    for (const side of ["left", "right"]) {
      const pane = paneOf(side);
      paintHeat(by(side), pane, data.size, frame, ramps[colours.value], blend.value / 100, 192);
      paintScale(by(`${side}-scale`), ramps[colours.value]);
      by(`${side}-end`).textContent = pane.end;
      by(`${side}-how`).textContent = pane.how;
      by(`${side}-now`).textContent = `${scoreName(pane)} ${written(pane, frame)}, evidence ${evidenceOf(pane, frame)}`;
    }
    by("scales").textContent = paneOf("left").unit_of_heat === paneOf("right").unit_of_heat
      ? "Both sides have one scale of colours: the same colour is the same heat."
      : "Each side has a scale of its own: heat of different models, layers or methods has different units.";
    tell();
    if (!seek) return;
    seek.value = frame;
    const text = `${data.edges[frame].toFixed(2)} s, frame ${frame}`;
    by("clock").textContent = text;
    seek.setAttribute("aria-valuetext", text);
  }
  const tell = () => {
    wipe.setAttribute("aria-valuenow", Math.round(share));
    wipe.setAttribute("aria-valuetext", `${Math.round(share)} % of the picture show ${paneOf("left").title}, the rest ${paneOf("right").title}`);
  };
  function move(to) {
    share = Math.min(100, Math.max(0, to));
    picture.style.setProperty("--wipe", `${share}%`);
    tell();
  }

  let held = false;
  const follow = (event) => {
    const box = picture.getBoundingClientRect();
    move(100 * (event.clientX - box.left) / box.width);
  };
  picture.addEventListener("pointerdown", (event) => {
    held = true;
    picture.setPointerCapture(event.pointerId);
    wipe.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  picture.addEventListener("pointermove", (event) => { if (held) follow(event); });
  for (const end of ["pointerup", "pointercancel"]) picture.addEventListener(end, () => { held = false; });
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
  wipe.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    move(share + steps[event.key]);
    event.preventDefault();
  });

  for (const side of ["left", "right"]) by(`${side}-pane`).addEventListener("change", show);
  blend.addEventListener("input", show);
  colours.addEventListener("change", show);
  if (seek) {
    const go = (index) => {
      film.currentTime = Math.min(middleOf(index), duration - 1e-3);
      frame = index;
      show();
    };
    const step = (count) => {
      film.pause();
      go(Math.min(frames - 1, Math.max(0, frame + count)));
    };
    const toggle = playable(film, by("play"));
    by("back").addEventListener("click", () => step(-1));
    by("on").addEventListener("click", () => step(1));
    seek.addEventListener("input", () => go(Number(seek.value)));
    document.addEventListener("keydown", (event) => {
      if (event.key !== " " || event.target.closest("input, select, button")) return;
      toggle();
      event.preventDefault();
    });
    const pace = () => {
      frame = frameAt(data.edges, film.currentTime);
      show();
      requestAnimationFrame(pace);
    };
    const evidence = paneOf("left").evidence, strongest = evidence.indexOf(Math.max(...evidence));
    const open = () => { if (evidence[strongest] > 0) go(strongest); requestAnimationFrame(pace); };
    if (film.readyState > 0) open(); else film.addEventListener("loadedmetadata", open, { once: true });
  }
  fitPicture(picture, data.aspect, [by("left"), by("right")], () => { drawn = ""; show(); });
  move(50);
  show();
})();
