(() => {
  const MOST_NAMED = 12;
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const changes = all(".change");
  const rows = all(".server"); // none in the plan of one server
  const actionButtons = all("[data-filter]");
  const stateButtons = all("button[data-state]");
  const choices = all("select[data-label]");
  const query = document.getElementById("query"); // null if nothing changes
  const serversQuery = document.getElementById("servers-query");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  let action = "";
  let state = "";
  let texts = null; // read when they are first needed: with thousands of servers it takes a moment
  let servers = null;

  const number = (count) => count.toLocaleString("en");

  function readServers() {
    servers = rows.map((row) => {
      const labels = Array.from(row.querySelectorAll(".label"), (one) => one.textContent);
      const more = Array.from(row.querySelectorAll(".variable, .problem"), (one) => one.textContent);
      const name = row.firstElementChild.textContent;
      return { name, labels: new Set(labels), text: [name, ...labels, ...more].join("\n").toLowerCase() };
    });
  }

  function readPlaces(change) {
    if (!change.places) {
      change.places = change.dataset.servers.split(",").flatMap((range) => {
        const [first, last] = range.split("-").map(Number);
        return Array.from({ length: (last ?? first) - first + 1 }, (_, index) => first + index);
      });
    }
    return change.places;
  }

  function matchingServers() {
    const wanted = searchWords(serversQuery);
    const labels = choices.filter((one) => one.value).map((one) => `${one.dataset.label}=${one.value}`);
    if (!wanted.length && !labels.length && !state) return null;
    if (!servers) readServers();
    return servers.map((server, index) => (!state || rows[index].dataset.state === state)
      && labels.every((label) => server.labels.has(label)) && wanted.every((word) => server.text.includes(word)));
  }

  function markMatching(change, matching, found) {
    let note = change.querySelector(".matching");
    if (!matching || readPlaces(change).length === 1) {
      if (note) note.remove();
      return;
    }
    if (!note) {
      note = document.createElement("p");
      note.className = "matching";
      change.querySelector("summary").after(note);
    }
    const names = found.slice(0, MOST_NAMED).map((place) => servers[place].name).join(", ");
    const more = found.length > MOST_NAMED ? ` and ${number(found.length - MOST_NAMED)} more` : "";
    note.textContent = `${number(found.length)} of these servers ${found.length === 1 ? "matches" : "match"}: ${names}${more}`;
  }

  function apply() {
    const wanted = searchWords(query);
    const matching = matchingServers();
    if ((wanted.length || matching) && !texts) texts = changes.map((one) => one.textContent.toLowerCase());
    let count = 0;
    rows.forEach((row, index) => {
      const fits = !matching || matching[index];
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) count += 1;
    });
    let changeCount = 0;
    changes.forEach((one, index) => {
      const found = matching ? readPlaces(one).filter((place) => matching[place]) : [];
      const fits = (!action || one.dataset.action === action) && (!matching || found.length > 0)
        && wanted.every((word) => texts[index].includes(word));
      if (one.hidden === fits) one.hidden = !fits;
      if (fits) changeCount += 1;
      if (fits) markMatching(one, matching, found);
    });
    if (nothing) nothing.hidden = changeCount > 0;
    const isWhole = !action && !wanted.length && !matching;
    const counts = [[changeCount, changes, "change"], [count, rows, "server"]].filter(([, listed]) => listed.length)
      .map(([fitting, listed, word]) => `${number(fitting)} of ${counted(listed.length, word)}`);
    shown.textContent = isWhole ? "" : counts.join(", ");
  }

  function press(buttons, chosen) {
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === chosen)));
    apply();
  }

  actionButtons.forEach((one) => one.addEventListener("click", () => { action = one.dataset.filter; press(actionButtons, one); }));
  stateButtons.forEach((one) => one.addEventListener("click", () => { state = one.dataset.state; press(stateButtons, one); }));
  choices.forEach((one) => one.addEventListener("change", apply));
  [query, serversQuery].filter(Boolean).forEach((one) => one.addEventListener("input", apply));
  searchByKey([query, serversQuery], apply);
  foldChanges(changes, document.getElementById("fold"));
  document.getElementById("tools").hidden = false;
  apply();
})();
