"use strict";
// Text that a filter of harmful text dropped lies in the page encoded; a click decodes it, as text and never as HTML.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-covered]");
  if (!button) return;
  const bytes = Uint8Array.from(atob(button.dataset.covered), (letter) => letter.charCodeAt(0));
  const shown = document.createElement("div");
  shown.className = "text";
  shown.dir = "auto";
  shown.tabIndex = 0;
  shown.textContent = new TextDecoder().decode(bytes);
  button.replaceWith(shown);
  shown.focus();
});
