// Recovery codes are shown once: to paper, or to the clipboard.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-print], [data-copy]");
  if (!button) return;
  if ("print" in button.dataset) {
    window.print();
    return;
  }
  const codes = [...document.querySelectorAll(`#${button.dataset.copy} li`)];
  const text = codes.map((code) => code.textContent.trim()).join("\n");
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = button.dataset.copied;
  } catch {
    // Without TLS browsers have no clipboard: the codes are selected, to be copied by hand.
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
  }
});
