// Keeps a page up to date: parts of it arrive as HTML over our own stream and replace the elements of their ids.
// Without this module every page and every action works the same; one has to refresh by hand.
const address = document.body.dataset.stream;
const link = document.getElementById("link");
let source = null;
let wanted = true;

if (address && link) {
  const state = document.createElement("span");
  const toggle = document.createElement("button");
  toggle.type = "button";
  toggle.className = "small";
  toggle.id = "toggle";
  toggle.addEventListener("click", () => {
    wanted = !wanted;
    follow();
  });
  state.id = "link-state";
  link.replaceChildren(state, " ", toggle);
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && follow());
  follow();
}

for (const form of document.querySelectorAll('form[method="post"]')) guard(form);

// Opens the stream, or closes it while the page is hidden.
function follow() {
  document.getElementById("toggle").textContent = wanted ? "Pause" : "Go on";
  if (!wanted || document.hidden) {
    close();
    say(wanted ? "waiting" : "paused");
    return;
  }
  if (source) return;
  source = new EventSource(address);
  source.onopen = () => say("live");
  source.onerror = () => say(source?.readyState === EventSource.CLOSED ? "ended: reload the page" : "connecting");
  source.addEventListener("ops.parts", (message) => {
    for (const [id, html] of Object.entries(JSON.parse(message.data))) replace(id, html);
  });
}

function close() {
  source?.close();
  source = null;
}

function say(words) {
  document.getElementById("link-state").textContent = words;
  document.body.dataset.link = words;
}

// The server has escaped the HTML, and the page's policy runs no script in it.
function replace(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const focused = element.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  element.innerHTML = html;
  if (focused) [...element.querySelectorAll("a, button, [tabindex]")].find((each) => nameOf(each) === focused)?.focus();
  for (const form of element.querySelectorAll('form[method="post"]')) guard(form);
  announce(element);
}

function nameOf(element) {
  return element.id || element.getAttribute("href") || element.getAttribute("aria-label");
}

// Speaks of a redrive only when its state changes, not with each letter.
function announce(element) {
  const said = document.getElementById("said");
  const words = element.querySelector(".pill")?.textContent.trim();
  if (said && words && said.textContent !== words) said.textContent = words;
}

// One click, one act.
function guard(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    addEventListener("pageshow", () => delete form.dataset.sent, { once: true });
  });
}
