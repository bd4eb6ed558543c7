"use strict";
for (const more of document.querySelectorAll("details.more")) {
  more.addEventListener("toggle", () => {
    const waiting = more.querySelector("template");
    if (waiting) waiting.replaceWith(waiting.content);
  });
}
