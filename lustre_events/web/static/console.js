// "Choose all" on the page of failures. Everything else works without a script.
"use strict";
document.querySelector("#all")?.addEventListener("change", (event) => {
  for (const box of document.querySelectorAll("input[name=work]")) box.checked = event.currentTarget.checked;
});
