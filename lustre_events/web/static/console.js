// "Choose all" on the pages of failures and runs, and completion of the query. Everything else works without a script.
"use strict";
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
