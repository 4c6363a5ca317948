"use strict";

/** Makes the button expand and collapse all changes. On paper they are all expanded. */
function foldChanges(changes, button) {
  const setOpen = (cards, open) => cards.forEach((one) => { one.firstElementChild.open = open; });
  if (button) {
    button.addEventListener("click", () => {
      const open = button.textContent === "Expand all";
      setOpen(changes, open);
      button.textContent = open ? "Collapse all" : "Expand all";
    });
  }
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = changes.filter((one) => !one.firstElementChild.open);
    setOpen(folded, true);
  });
  window.addEventListener("afterprint", () => setOpen(folded, false));
}

/** Makes / begin a search, and Escape clear the search that has the focus. */
function searchByKey(inputs, apply) {
  document.addEventListener("keydown", (event) => {
    const isTyping = inputs.includes(event.target);
    if (inputs[0] && event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      inputs[0].focus();
    } else if (event.key === "Escape" && isTyping) {
      event.target.value = "";
      apply();
    }
  });
}

/** A number and what it counts: 1 change, 2,000 changes. */
function counted(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

/** The words of a search, in lower case. */
function searchWords(input) {
  return input ? input.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
}
