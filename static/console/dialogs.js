// A dialog is sent once: while its answer is on the way, its button takes no second click.
(() => {
  const turn = (event, off) => {
    for (const button of event.target.querySelectorAll("button[type=submit]")) {
      button.disabled = off;
    }
  };
  document.addEventListener("htmx:beforeRequest", (event) => turn(event, true));
  document.addEventListener("htmx:afterRequest", (event) => {
    // After a booking the page is loaded anew, and until then the button stays off.
    if (!event.detail.xhr.getResponseHeader("HX-Redirect")) turn(event, false);
  });
})();
