"use strict";
(() => {
  const filter = document.querySelector(".filter");
  const words = document.getElementById("words");
  const output = filter.querySelector("output");
  const buttons = [...filter.querySelectorAll("button")];
  const rows = [...document.querySelectorAll("[data-verdict]:not(button)")];
  const texts = new Map(rows.map((row) => [row, `${row.dataset.group ?? ""} ${row.textContent}`.toLowerCase()]));

  function show() {
    const verdicts = buttons.filter((b) => b.ariaPressed === "true").map((b) => b.dataset.verdict);
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits =
        (!verdicts.length || verdicts.includes(row.dataset.verdict)) &&
        wanted.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      count += fits;
    }
    // A heading without a row below it goes too.
    for (const list of document.querySelectorAll("ul.brief")) {
      const empty = !list.querySelector(":scope > :not([hidden])");
      list.hidden = empty;
      if (list.previousElementSibling?.tagName === "H3") list.previousElementSibling.hidden = empty;
    }
    for (const section of document.querySelectorAll("section.rows")) {
      section.hidden = !section.querySelector("[data-verdict]:not([hidden])");
    }
    document.querySelector(".nothing").hidden = count > 0;
    output.textContent = verdicts.length || wanted.length ? `${count} of ${rows.length} rows` : "";
  }

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden) {
      for (const button of buttons) button.ariaPressed = "false";
      words.value = "";
      show();
    }
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.ariaPressed = String(button.ariaPressed !== "true");
      show();
    });
  }
  words.addEventListener("input", show);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== words) {
      event.preventDefault();
      words.focus();
    } else if (event.key === "Escape" && document.activeElement === words) {
      words.value = "";
      show();
    }
  });
  addEventListener("hashchange", reveal);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });
  filter.hidden = false;
  if (location.hash) reveal();
})();
