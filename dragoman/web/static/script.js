// What pages do beyond links and forms. Every page also works without this file.
"use strict";

// A run's progress: the server sends the piece of the page anew whenever something has changed. It is escaped there.
for (const section of document.querySelectorAll("[data-events]")) {
  if (!section.dataset.events) continue;
  const source = new EventSource(section.dataset.events);
  const status = document.getElementById("over");
  source.addEventListener("now", (event) => { section.innerHTML = JSON.parse(event.data); status.textContent = ""; });
  source.addEventListener("over", (event) => {
    source.close();
    status.textContent = `The run is ${JSON.parse(event.data)}. Load the page again to see everything that came of it.`;
  });
  source.onerror = () => { status.textContent = "The connection was lost; it is being tried again."; };
}
