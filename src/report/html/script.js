"use strict";
(() => {
  const root = document.documentElement;
  const said = document.getElementById("said");
  const tools = document.getElementById("tools");
  const button = (label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", () => act(made));
    return made;
  };
  const say = (text) => { said.textContent = text; };

  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = button("", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  theme.id = "theme";
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  const folds = () => [...document.querySelectorAll("details")];
  const unfold = button("Unfold all", () => {
    const open = folds().some((one) => !one.open);
    folds().forEach((one) => { one.open = open; });
    unfold.textContent = open ? "Fold all" : "Unfold all";
  });
  unfold.id = "unfold";
  tools.append(unfold, theme);

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = folds().filter((one) => !one.open);
    folded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));

  // A link to something folded unfolds it.
  const reveal = () => {
    const aim = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = aim; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (aim) aim.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  const select = (text) => {
    const range = document.createRange();
    range.selectNodeContents(text);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const copy = async (text, made) => {
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      select(text);
      if (!document.execCommand("copy")) {
        say("Selected. Copy it with the keyboard.");
        return;
      }
    }
    made.textContent = "Copied";
    say("Copied.");
    setTimeout(() => { made.textContent = "Copy " + made.parentElement.dataset.what; }, 2000);
  };
  for (const box of document.querySelectorAll(".copy")) {
    const text = box.querySelector("code");
    box.append(button("Copy " + box.dataset.what, (made) => copy(text, made)));
  }

  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  const compare = (one, other) => typeof one === "number" && typeof other === "number"
    ? one - other
    : String(one).localeCompare(String(other), "en", { numeric: true });
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const label = head.textContent;
      const sort = button(label, () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows];
        rows.sort((one, other) => (down ? -1 : 1) * compare(value(one, column), value(other, column)));
        body.append(...rows);
        say("Sorted by " + label + (down ? ", descending." : ", ascending."));
      });
      head.replaceChildren(sort);
    });
  }
})();
