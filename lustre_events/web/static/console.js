// "Choose all" on the pages of failures and runs, completion of the query, and keys. Everything else works without a script.
"use strict";
// On a narrow screen what narrows the query would stand above all hits.
if (matchMedia("(max-width: 46rem)").matches) document.querySelector("#narrow")?.removeAttribute("open");
// Keys: / goes to the query, j and k from one hit to the next and back.
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const hits = [...document.querySelectorAll(".hits a.path, .tree a, .recent a")], here = hits.indexOf(document.activeElement);
  if (event.key === "/") document.querySelector("#q, input[type=search], #prefix")?.select();
  else if (event.key === "j") hits[Math.min(here + 1, hits.length - 1)]?.focus();
  else if (event.key === "k") hits[Math.max(here - 1, 0)]?.focus();
  else return;
  event.preventDefault();
});
document.querySelector("#all")?.addEventListener("change", (event) => {
  for (const box of document.querySelectorAll("input[name=work], input[name=key]")) box.checked = event.currentTarget.checked;
});
const query = document.querySelector("#q"), offered = document.querySelector("#completions");
let waiting = 0, asked = "";
async function complete() {
  const typed = query.value;
  if (typed === asked) return;
  asked = typed;
  const answer = await fetch("/api/v1/complete?q=" + encodeURIComponent(typed));
  if (!answer.ok || typed !== query.value) return;
  offered.replaceChildren(...(await answer.json()).queries.map((each) => {
    const option = document.createElement("option");
    option.value = each;
    return option;
  }));
}
if (query && offered) query.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(complete, 150); });
