(() => {
  "use strict";
  const section = document.getElementById("sees");
  const slider = document.getElementById("sparsity");
  const readout = section.querySelector(".readout");

  function show(level) {
    for (const part of section.querySelectorAll("[data-level]")) part.hidden = part.dataset.level !== level;
    for (const button of section.querySelectorAll("[data-pick]"))
      button.setAttribute("aria-pressed", String(button.dataset.pick === level));
    for (const mark of document.querySelectorAll("[data-mark]"))
      mark.classList.toggle("current", mark.dataset.mark === level);
    slider.value = level;
    slider.setAttribute("aria-valuetext", readout.querySelector(`[data-level="${level}"]`).dataset.text);
  }

  if (slider) slider.addEventListener("input", () => show(slider.value));
  section.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pick]");
    if (button) show(button.dataset.pick);
  });
  section.addEventListener("change", (event) => {
    if (event.target.name === "view") section.dataset.view = event.target.value;
  });
})();
