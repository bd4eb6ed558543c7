"use strict";
{
  const at = (id) => document.getElementById(id);
  const sheet = at("sheet");
  const groups = [...sheet.querySelectorAll("section.group")];
  const original = new Map();

  function fill(more) {
    const waiting = more.querySelector("template");
    if (waiting) waiting.replaceWith(waiting.content);
  }
  for (const more of document.querySelectorAll("details.more")) more.addEventListener("toggle", () => more.open && fill(more));

  const nameOf = (tile) => tile.querySelector(".name").textContent;
  const compare = new Intl.Collator(undefined, {numeric: true}).compare;
  const orders = {
    name: (a, b) => compare(nameOf(a), nameOf(b)),
    side: (a, b) => compare(a.dataset.side, b.dataset.side),
    large: (a, b) => b.dataset.pixels - a.dataset.pixels,
    small: (a, b) => a.dataset.pixels - b.dataset.pixels,
    boxes: (a, b) => b.dataset.boxes - a.dataset.boxes,
  };

  function sort(group, order) {
    const lists = [...group.querySelectorAll("ul.tiles")];
    if (!original.has(group)) original.set(group, lists.flatMap((list) => [...list.children]));
    const tiles = [...original.get(group)];
    if (order) tiles.sort(orders[order]);
    const counts = lists.map((list) => list.children.length);
    lists.forEach((list, number) => list.append(...tiles.splice(0, counts[number])));
  }

  function apply() {
    const query = at("search").value.trim().toLowerCase();
    const chosen = at("choose-class")?.value ?? "";
    const side = at("choose-side")?.value ?? "";
    const order = at("order").value;
    const narrows = query || side;
    let shown = 0, all = 0;
    groups.forEach((group, number) => {
      const more = group.querySelector("details.more");
      if (more && (narrows || order || original.size)) fill(more);
      if (order || original.size) sort(group, order);
      let matches = 0;
      for (const tile of group.querySelectorAll("ul.tiles > li")) {
        const hides = (query && !tile.title.toLowerCase().includes(query)) || (side && tile.dataset.side !== side);
        tile.hidden = Boolean(hides);
        if (!hides) matches += 1;
        all += 1;
      }
      if (more && narrows) more.open = true;
      group.hidden = (chosen !== "" && Number(chosen) !== number) || (Boolean(narrows) && !matches);
      if (!group.hidden) shown += matches;
    });
    at("found").value = narrows || chosen ? `${shown.toLocaleString()} shown` : "";
  }

  const form = at("controls");
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());

  const dialog = at("large");
  let current = null;
  function enlarge(tile) {
    current = tile;
    at("large-picture").replaceChildren(tile.querySelector(".frame > svg").cloneNode(true));
    at("large-name").textContent = `${nameOf(tile)} (${tile.dataset.side})`;
    at("large-what").textContent = tile.querySelector(".what")?.textContent ?? "";
    if (!dialog.open) dialog.showModal();
  }
  function step(by) {
    const tiles = [...current.closest("section").querySelectorAll("ul.tiles > li")];
    const drawn = tiles.filter((tile) => tile.querySelector("button.frame") && !tile.hidden);
    enlarge(drawn[(drawn.indexOf(current) + by + drawn.length) % drawn.length]);
  }
  document.addEventListener("click", (event) => {
    const frame = event.target.closest("button.frame");
    if (frame) enlarge(frame.closest("li"));
    else if (event.target === dialog) dialog.close();
  });
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}
