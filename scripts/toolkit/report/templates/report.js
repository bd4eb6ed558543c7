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

  const fold = (text) => text.normalize().toLowerCase();  // macOS writes the accents of names apart
  const counted = (number) => number.toLocaleString("en");

  // A name is the number of characters that it shares with the one before, and the rest.
  function unpack(text) {
    let name = [];
    return text.split("\n").map((line) => {
      const gap = line.indexOf(" ");
      name = [...name.slice(0, line.slice(0, gap)), ...line.slice(gap + 1)];
      return name.join("");
    });
  }
  let images = null;
  function allImages() {
    if (images || !at("names")) return images;
    const {sides, classes, groups: parts} = JSON.parse(at("names").textContent);
    images = parts.flatMap(([side, numbers, packed, packedOthers]) => {
      const others = packedOthers && unpack(packedOthers);
      const what = `${numbers.map((number) => classes[number]).join(", ")}; ${sides[side]}`;
      return unpack(packed).map((name, index) => {
        const words = others && others[index] !== name ? `${name} (${others[index]})` : name;
        return {words: `${words}: ${what}`, text: fold(`${name}\n${others[index] ?? ""}`), side: sides[side], numbers};
      });
    });
    return images;
  }

  const MOST_LISTED = 200;
  function list(others) {
    const lines = others.slice(0, MOST_LISTED).map((image) => image.words);
    if (others.length > MOST_LISTED) lines.push(`… and ${counted(others.length - MOST_LISTED)} more`);
    at("others").querySelector("ul").replaceChildren(...lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
    at("others").hidden = !others.length;
  }

  function apply() {
    const query = fold(at("search").value.trim());
    const chosen = at("choose-class")?.value ?? "";
    const side = at("choose-side")?.value ?? "";
    const order = at("order").value;
    const narrows = Boolean(query || side || chosen);
    const all = narrows ? allImages() : null;
    const matches = (image) => image.text.includes(query) && (!side || image.side === side);
    const drawn = new Set();
    groups.forEach((group, number) => {
      group.hidden = chosen !== "" && Number(chosen) !== number;
      if (group.hidden) return;
      const more = group.querySelector("details.more");
      if (more && (narrows || order)) {
        fill(more);
        more.open = true;
      }
      if (order || original.has(group)) sort(group, order);
      const tiles = [...group.querySelectorAll("ul.tiles > li")];
      for (const tile of tiles) {
        tile.hidden = !matches(all?.[tile.dataset.number] ?? {text: fold(nameOf(tile)), side: tile.dataset.side});
        if (!tile.hidden) drawn.add(tile.dataset.number ?? tile.title);
      }
      if (more) more.hidden = narrows && !more.querySelector("li:not([hidden])");
      group.hidden = narrows && tiles.every((tile) => tile.hidden);
    });
    const isWanted = (image) => matches(image) && (!chosen || image.numbers.includes(Number(chosen)));
    const others = (all ?? []).filter((image, number) => isWanted(image) && !drawn.has(String(number)));
    list(others);
    const found = all ? `${counted(drawn.size + others.length)} of ${counted(all.length)} images, ` : "";
    at("found").value = narrows ? `${found}${counted(drawn.size)} drawn` : "";
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
