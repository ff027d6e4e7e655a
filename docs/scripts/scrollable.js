// Tables and code that are wider than the page can be scrolled with the keyboard.

addEventListener("load", () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code, .md-typeset .doc-contents table")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
});
