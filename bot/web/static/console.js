// What the pages do beyond plain forms: they do not refresh unseen, say when the connection is lost, and keep what is being written.
"use strict";

const asksByItself = (element) => /^every /.test(element.getAttribute("hx-trigger") || "");

const isWriting = () =>
  [...document.querySelectorAll("textarea:not([readonly])")].some((box) => box.value !== box.defaultValue);

document.addEventListener("htmx:beforeRequest", (event) => {
  // A page nobody looks at must not count as read.
  if (document.hidden && asksByItself(event.detail.elt)) event.preventDefault();
});

document.addEventListener("htmx:configRequest", (event) => {
  // When the session is over, the server may take the page away unless a text would be lost.
  if (asksByItself(event.detail.elt) && isWriting()) event.detail.parameters.writing = "1";
});

const offline = (isLost) => {
  const notice = document.getElementById("offline");
  if (notice) notice.hidden = !isLost;
};
document.addEventListener("htmx:sendError", () => offline(true));
document.addEventListener("htmx:timeout", () => offline(true));
document.addEventListener("htmx:afterOnLoad", () => offline(false));

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  // What she folded away stays folded when its part of the page is renewed.
  const before = event.detail.target.querySelectorAll("details");
  event.detail.fragment.querySelectorAll("details").forEach((fold, place) => {
    if (before[place]) fold.open = before[place].open;
  });
});
