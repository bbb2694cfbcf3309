// What the theme (9.8) leaves out for those who use no mouse or no screen.
const mend = () => {
  document.querySelectorAll(".md-code__nav").forEach((nav, at) => {
    nav.setAttribute("aria-label", `Code block ${at + 1}`); // the landmark of a copy button
  });
  for (const box of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls) box.tabIndex = 0; // the arrow keys scroll it
  }
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", () => requestAnimationFrame(mend));
mend();
