// Films with a button and a slider below them, so that nothing lies over their names and curves.
for (const place of document.querySelectorAll(".film")) {
  const film = place.querySelector("video"), seek = place.querySelector("input"), clock = place.querySelector("output");
  playable(film, place.querySelector("button"));
  const show = () => {
    const text = `${film.currentTime.toFixed(2)} s`;
    clock.textContent = text;
    seek.setAttribute("aria-valuetext", text);
    if (film.duration) seek.value = film.currentTime / film.duration;
  };
  for (const event of ["loadedmetadata", "seeked", "timeupdate"]) film.addEventListener(event, show);
  seek.addEventListener("input", () => { if (film.duration) film.currentTime = seek.value * (film.duration - 1e-3); });
}
