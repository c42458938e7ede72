// Keeps a page up to date: parts of it arrive as HTML over our own stream and replace the elements of their ids.
// Without this module every page and every action works the same; one has to refresh by hand.
const address = document.body.dataset.stream;
const link = document.getElementById("link");
const HELD_MS = 10_000;
const held = new Map();
let source = null;
let wanted = true;
let pressed = 0;
let sent = false;

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
  addEventListener("pointerdown", press);
  addEventListener("keydown", (event) => event.key === " " && press());
  for (const kind of ["pointerup", "pointercancel", "keyup"]) addEventListener(kind, () => setTimeout(release));
  follow();
}

// One click, one act, also if a part with its button is replaced between two.
addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (sent) event.preventDefault();
  sent = true;
});
addEventListener("pageshow", () => (sent = false));

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
    for (const [id, html] of Object.entries(JSON.parse(message.data))) pressed ? held.set(id, html) : replace(id, html);
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

// What comes while something is pressed waits for its release, which is lost at times: a browser gives no click to what
// is replaced meanwhile.
function press() {
  clearTimeout(pressed);
  pressed = setTimeout(release, HELD_MS);
}

function release() {
  clearTimeout(pressed);
  pressed = 0;
  for (const [id, html] of held) replace(id, html);
  held.clear();
}

// The server has escaped the HTML, and the page's policy runs no script in it.
function replace(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const focused = element.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  element.innerHTML = html;
  if (focused) [...element.querySelectorAll("a, button, [tabindex]")].find((each) => nameOf(each) === focused)?.focus();
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
