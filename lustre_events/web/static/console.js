// Saved searches (kept by the browser), and "choose all". Text goes into the page as text only.
"use strict";
const KEY = "lustre-events searches";
const saved = () => JSON.parse(localStorage.getItem(KEY) || "[]");
const list = document.querySelector("#saved");
function show() {
  if (!list) return;
  const queries = saved();
  list.hidden = queries.length === 0;
  list.querySelector("ul").replaceChildren(...queries.map((query) => {
    const item = document.createElement("li"), link = document.createElement("a"), forget = document.createElement("button");
    link.href = "/?facets=1&q=" + encodeURIComponent(query);
    link.textContent = query;
    forget.textContent = "forget";
    forget.type = "button";
    forget.addEventListener("click", () => {
      localStorage.setItem(KEY, JSON.stringify(saved().filter((each) => each !== query)));
      show();
    });
    item.append(link, " ", forget);
    return item;
  }));
}
document.querySelector("#save")?.addEventListener("click", (event) => {
  const query = event.currentTarget.dataset.query;
  localStorage.setItem(KEY, JSON.stringify([query, ...saved().filter((each) => each !== query)].slice(0, 20)));
  show();
});
document.querySelector("#all")?.addEventListener("change", (event) => {
  for (const box of document.querySelectorAll("input[name=work]")) box.checked = event.currentTarget.checked;
});
show();
