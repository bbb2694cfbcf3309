// What the theme (9.8) leaves out for those who use no mouse or no screen.
const reach = (box) => {
  const wide = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
  if (wide && box.tabIndex !== 0) box.tabIndex = 0; // the arrow keys scroll it
};
const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => reach(target)));
const mend = () => {
  document.querySelectorAll(".md-code__nav").forEach((nav, at) => {
    nav.setAttribute("aria-label", `Code block ${at + 1}`); // the landmark of a copy button
  });
  for (const box of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    sizes.observe(box);
    reach(box); // the theme takes the tab stop away when it measures too early
  }
};
const changes = { childList: true, subtree: true, attributes: true, attributeFilter: ["tabindex"] };
new MutationObserver(mend).observe(document.body, changes);
mend();
