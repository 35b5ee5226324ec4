// The divider follows the range input, and a button shows the picture at its own size.
element.addEventListener("input", (event) => {
  if (event.target.type === "range") {
    event.target.closest(".ur-stage").style.setProperty("--at", event.target.value + "%");
  }
});
element.addEventListener("click", (event) => {
  const button = event.target.closest(".ur-zoom");
  if (!button) return;
  const stage = button.closest(".ur-stage");
  const actual = stage.classList.toggle("ur-actual");
  button.setAttribute("aria-pressed", String(actual));
  button.textContent = actual ? "Fit" : "Actual size";
  const frame = stage.querySelector(".ur-frame");
  frame.scrollTo((frame.scrollWidth - frame.clientWidth) / 2, (frame.scrollHeight - frame.clientHeight) / 2);
});
