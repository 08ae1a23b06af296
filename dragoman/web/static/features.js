// The pages of features: parts that come without a new page, a table that follows what is typed, and keys to walk through rows.
// All of it also works without this file.
"use strict";
const fetched = async (address, options) => {
  const answer = await fetch(address, { ...options, headers: { "x-fragment": "1", accept: "text/html" } });
  const text = await answer.text();
  if (answer.ok || answer.headers.get("content-type").startsWith("text/html")) {
    if (!text.startsWith("<!doctype")) return text;
    const page = new DOMParser().parseFromString(text, "text/html");
    return page.querySelector(".trouble").outerHTML;
  }
  throw new Error(text);
};
const say = (place, sentence) => {
  const line = document.createElement("p");
  line.className = "trouble";
  line.setAttribute("role", "alert");
  line.textContent = sentence;
  place.replaceChildren(line);
};

// Forms whose answer goes into a part of this page.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const into = form.dataset.into && document.getElementById(form.dataset.into);
  if (!into) return;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  const fields = new URLSearchParams(new FormData(form));
  button.disabled = true;
  into.setAttribute("aria-busy", "true");
  try {
    const post = form.method === "post";
    into.innerHTML = await fetched(post ? form.action : form.action + "?" + fields, post ? { method: "POST", body: fields } : {});
    if (!post) history.replaceState(null, "", form.action + "?" + fields);
    if ("reset" in form.dataset && !into.querySelector(".trouble")) form.reset();
  } catch {
    say(into, "The server did not answer: is it still running?");
  } finally {
    button.disabled = false;
    into.removeAttribute("aria-busy");
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) event.target.form.requestSubmit();
});

// A table that follows its filters and its own links.
const live = document.querySelector("form[data-live]");
if (live) {
  const results = document.getElementById(live.dataset.live);
  let waiting = 0;
  let latest = 0;
  const show = async (address, keep) => {
    const mine = ++latest;
    results.setAttribute("aria-busy", "true");
    try {
      const text = await fetched(address);
      if (mine !== latest) return;
      const focused = results.contains(document.activeElement) ? document.activeElement.textContent : null;
      results.innerHTML = text;
      const asked = new URL(address, location.href).searchParams;
      for (const name of ["sort", "order"]) {
        let field = live.elements[name];
        if (!field && asked.has(name)) {
          field = document.createElement("input");
          field.type = "hidden";
          field.name = name;
          live.append(field);
        }
        if (field) field.value = asked.get(name) || "";
      }
      if (keep) history.pushState(null, "", address);
      else history.replaceState(null, "", address);
      if (focused) {
        const again = [...results.querySelectorAll("a")].find((one) => one.textContent === focused);
        if (again) again.focus();
      }
    } catch {
      if (mine === latest) say(results, "The server did not answer: is it still running?");
    } finally {
      if (mine === latest) results.setAttribute("aria-busy", "false");
    }
  };
  const wished = () => {
    const fields = new URLSearchParams(new FormData(live));
    for (const [name, value] of [...fields]) if (!value) fields.delete(name, value);
    return live.action + "?" + fields;
  };
  live.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => show(wished(), false), 200);
  });
  live.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    show(wished(), true);
  });
  results.addEventListener("click", (event) => {
    const link = event.target.closest("thead a, .turn a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.href, true);
  });
  addEventListener("popstate", () => location.reload());
}

// Keys: / to the search, j and k through the rows.
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    const field = document.querySelector("[data-slash]");
    if (field) { field.focus(); event.preventDefault(); }
    return;
  }
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const rows = [...document.querySelectorAll("[data-row]")];
  const here = rows.indexOf(document.activeElement);
  const next = rows[here < 0 ? 0 : here + step];
  if (next) next.focus();
});

// Parts that are fetched when they are opened.
document.addEventListener("toggle", async (event) => {
  const box = event.target;
  if (!box.open || !box.dataset.load || box.dataset.loaded) return;
  box.dataset.loaded = "1";
  const into = box.querySelector(".loaded");
  try {
    into.innerHTML = await fetched(box.dataset.load);
    const inner = into.querySelector("details");
    if (inner) inner.open = true;
  } catch {
    delete box.dataset.loaded;
    say(into, "The server did not answer: is it still running?");
  }
}, true);
