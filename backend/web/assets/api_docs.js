// The page of the API works without this; here are the search, and the buttons that copy an example.
const seek = document.getElementById("seek");
const nothing = document.getElementById("nothing");

function filter() {
  const words = seek.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const each of document.querySelectorAll("[data-find]")) {
    const fits = words.every((word) => each.dataset.find.includes(word));
    each.hidden = !fits;
    if (fits) found += 1;
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = !group.querySelector("[data-find]:not([hidden])");
  }
  nothing.hidden = found > 0;
}

seek.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input")) {
    event.preventDefault();
    seek.focus();
  }
});

if (navigator.clipboard) {
  for (const shown of document.querySelectorAll(".shown .line")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(shown.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    shown.append(button);
  }
}
