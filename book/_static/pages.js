/* Wide formulas take the keyboard, and only those; on a telephone figures open large on a tap; the
   search shows words. */
(() => {
  const wide = () => document.querySelectorAll(".bd-article div.math").forEach(box => {
    const more = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("lbrs-wide", more);
    if (more) {
      box.setAttribute("tabindex", "0");
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", "Formula that scrolls sideways");
    } else ["tabindex", "role", "aria-label"].forEach(name => box.removeAttribute(name));
  });
  const narrow = matchMedia("(max-width: 600px)");
  const enlarge = () => document.querySelectorAll(".bd-article .cell_output img").forEach(image => {
    image.closest("figure, .cell_output").classList.add("lbrs-figure");
    image.addEventListener("click", () => {
      if (narrow.matches) image.classList.toggle("lbrs-large");
    });
  });
  const plain = () => {
    if (typeof Search === "undefined" || Search.lbrs) return;
    const whole = Search.htmlToText;
    Search.lbrs = true;
    Search.htmlToText = (text, anchor) => {
      const page = new DOMParser().parseFromString(text, "text/html");
      page.querySelectorAll(".math, .cell_input").forEach(part => part.replaceWith(" … "));
      return whole.call(Search, page.documentElement.outerHTML, anchor);
    };
  };
  const WORDS = {alpha: "α", sigma: "σ", infty: "∞", to: "→", ell: "ℓ", mu: "μ"};
  const titles = () => document.querySelectorAll("#search-results li a").forEach(link => {
    if (!link.textContent.includes("\\")) return;
    link.textContent = link.textContent.replace(/\\([a-z]+)/g, (_, name) => WORDS[name] ?? "")
      .replace(/[\\(){}$_]/g, "").replace(/\s+/g, " ");
  });
  plain();
  addEventListener("DOMContentLoaded", () => {
    plain();
    enlarge();
    const found = document.getElementById("search-results");
    if (found) new MutationObserver(titles).observe(found, {childList: true, subtree: true});
    (window.MathJax?.startup?.promise ?? Promise.resolve()).then(wide);
  });
  addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(wide));
  addEventListener("resize", wide);
})();
