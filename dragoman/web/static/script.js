// What pages do beyond links and forms. Every page also works without this file.
"use strict";

// Browsers hold only a few connections to one server, so pages that nobody sees let go of theirs.
function whileSeen(open, close) {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
}

// A run's progress: the server sends the piece of the page anew whenever something has changed. It is escaped there.
for (const section of document.querySelectorAll("[data-events]")) {
  if (!section.dataset.events) continue;
  const status = document.getElementById("over");
  let source = null;
  let over = false;
  const open = () => {
    if (source || over) return;
    source = new EventSource(section.dataset.events);
    source.addEventListener("now", (event) => { section.innerHTML = JSON.parse(event.data); status.textContent = ""; });
    source.addEventListener("over", (event) => {
      over = true;
      close();
      status.textContent = `The run is ${JSON.parse(event.data)}. Load the page again to see everything that came of it.`;
    });
    source.onerror = () => { status.textContent = "The connection was lost; it is being tried again."; };
  };
  const close = () => { if (source) source.close(); source = null; };
  whileSeen(open, close);
}

// A form sent without leaving the page. Gives the answer's text; where it was refused, says why beside the form.
async function sent(form, button) {
  const data = new URLSearchParams(new FormData(form, button));
  const trouble = form.querySelector(".trouble");
  if (trouble) trouble.classList.add("hidden");
  try {
    const answer = await fetch(form.action, { method: "POST", body: data, headers: { accept: "text/plain" } });
    if (answer.ok) return await answer.text();
    throw new Error(await answer.text());
  } catch (error) {
    if (trouble) { trouble.textContent = error.message; trouble.classList.remove("hidden"); }
    return null;
  }
}

// The chat: what is said streams in; at the end the whole log comes anew from the server, with links and marks.
const talk = document.getElementById("talk");
const composer = document.querySelector("form[data-say]");
if (composer) {
  const text = composer.querySelector("textarea");
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); composer.requestSubmit(); }
  });
}
if (talk) {
  const stop = document.getElementById("stop");
  const status = document.getElementById("status");
  const text = composer.querySelector("textarea");
  const tabs = new BroadcastChannel(`dragoman ${talk.dataset.query}`);
  let source = null;
  let left = document.hidden;
  document.getElementById("keys").hidden = false;

  const refresh = async () => {
    const answer = await fetch(`/chat/log?${talk.dataset.query}`);
    if (!answer.ok) return;
    const inside = talk.contains(document.activeElement);
    talk.innerHTML = await answer.text();
    if (inside) (talk.querySelector(".reply button") || text).focus();
  };
  const follow = () => {
    if (source) return;
    stop.classList.remove("hidden");
    status.textContent = "Working.";
    source = new EventSource(`/chat/events?${talk.dataset.query}`);
    const live = document.getElementById("live");
    live.classList.remove("hidden");
    source.addEventListener("said", (event) => {
      let last = live.lastElementChild;
      if (!last || !last.classList.contains("streaming")) {
        last = live.appendChild(document.createElement("p"));
        last.className = "said streaming";
      }
      const { text, anew } = JSON.parse(event.data);
      if (anew) last.textContent = "";
      last.append(text);
    });
    source.addEventListener("add", (event) => {
      const { call, html } = JSON.parse(event.data);
      const old = [...live.querySelectorAll("details.step")].find((one) => one.dataset.call === call);
      live.querySelectorAll(".streaming").forEach((one) => one.classList.remove("streaming"));
      if (old) old.outerHTML = html; else live.insertAdjacentHTML("beforeend", html);
    });
    source.addEventListener("over", async () => {
      if (source) source.close();
      source = null;
      await refresh();
      stop.classList.add("hidden");
      if (stop.contains(document.activeElement)) text.focus();
      const ask = talk.querySelector(".reply button");
      if (ask && (document.activeElement === text || document.activeElement === document.body) && !text.value) ask.focus();
      status.textContent = ask ? "It waits for you." : "Answered.";
    });
  };
  const begun = async () => { await refresh(); follow(); tabs.postMessage("begun"); };
  tabs.onmessage = async () => { if (!document.hidden) { await refresh(); follow(); } };
  const resume = async () => {
    if (source) return;
    if (left) await refresh();
    left = false;
    if (talk.querySelector("[data-busy=yes]")) follow(); else stop.classList.add("hidden");
  };
  whileSeen(resume, () => {
    left = true;
    if (source) source.close();
    source = null;
  });

  composer.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await sent(composer, event.submitter) === null) return;
    text.value = "";
    await begun();
  });
  talk.addEventListener("submit", async (event) => {
    event.preventDefault();
    text.focus();
    if (await sent(event.target, event.submitter) !== null) await begun();
  });
  stop.addEventListener("submit", async (event) => {
    event.preventDefault();
    await sent(stop, event.submitter);
  });
}
