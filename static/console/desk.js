// The pages on which people decide and hand over.
(() => {
  // A form that decides something is sent once: a second click on the way does nothing.
  let sent = false;
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-sent-once]")) return;
    if (sent) event.preventDefault();
    sent = true;
  });
  // Whoever comes back to the page finds it as it was, and may send it again.
  window.addEventListener("pageshow", () => { sent = false; });

  // The theme hides a page until its scripts have run, and what is hidden takes no autofocus.
  document.addEventListener("alpine:initialized", () => {
    requestAnimationFrame(() => {
      const field = document.querySelector(".desk [autofocus]");
      field?.focus();
      field?.select?.();  // a code that was refused is written over by the next one
    });
  });
})();
