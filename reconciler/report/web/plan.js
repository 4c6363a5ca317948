(() => {
  const changes = Array.from(document.querySelectorAll(".change"));
  const buttons = Array.from(document.querySelectorAll("[data-filter]"));
  const query = document.getElementById("query");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  let filter = "all";
  let texts = null; // read when the first search is made: with thousands of changes it takes a moment

  function apply() {
    const words = searchWords(query);
    if (words.length && !texts) texts = changes.map((one) => one.textContent.toLowerCase());
    let count = 0;
    changes.forEach((one, index) => {
      const fits = (filter === "all" || one.dataset.action === filter)
        && words.every((word) => texts[index].includes(word));
      if (one.hidden === fits) one.hidden = !fits;
      if (fits) count += 1;
    });
    nothing.hidden = count > 0;
    const all = filter === "all" && !words.length;
    shown.textContent = all ? "" : `${count.toLocaleString("en")} of ${counted(changes.length, "change")}`;
  }

  function choose(name) {
    filter = name;
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.filter === name)));
    apply();
  }

  buttons.forEach((one) => one.addEventListener("click", () => choose(one.dataset.filter)));
  query.addEventListener("input", apply);
  searchByKey([query], apply);
  foldChanges(changes, document.getElementById("fold"));
  document.getElementById("tools").hidden = false;
  apply();
})();
