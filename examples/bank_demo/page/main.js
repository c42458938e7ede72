// Puts the page together: a snapshot first, then the stream; each view handles its own events.
import { Accounts } from "./accounts.js";
import { Feed } from "./feed.js";
import { Filters } from "./filters.js";
import { ImportCard } from "./import.js";
import { Journey } from "./journey.js";
import { Stream } from "./stream.js";
import { byId, notify } from "./dom.js";

const stateText = { connecting: "connecting", live: "live", off: "disconnected", failed: "not reachable" };

async function start() {
  const snapshot = await fetchState();
  const accounts = new Accounts(snapshot.accounts);
  const importCard = new ImportCard(snapshot.last_import);
  const journey = new Journey();
  const feed = new Feed();
  const stream = new Stream(snapshot.user_id, Object.keys(snapshot.types));
  const filters = new Filters(snapshot.categories, (chosen) => stream.choose(chosen));
  let away = null;
  let reset = null;
  feed.showEarlier(snapshot.recent.map((event) => ({ ...event, category: snapshot.types[event.type] })));

  stream.onState = (state) => {
    document.body.dataset.state = state;
    byId("state-text").textContent = stateText[state];
    byId("toggle").textContent = state === "off" || state === "failed" ? "Reconnect" : "Disconnect";
  };
  stream.onEvent = (event) => {
    event.category = snapshot.types[event.type];
    if (event.replayed && away) away.count += 1;
    journey.arrived(event);
    filters.count(event);
    feed.add(event);
    importCard.handle(event);
    accounts.handle(event);
  };
  stream.onReset = async (reason) => {
    feed.addReset(reason);
    reset = reason;
    accounts.show((await fetchState()).accounts);
  };
  stream.onCaughtUp = () => {
    if (reset) {
      const known = stream.takeKnown();
      notify(`stream.reset (${reset}): events may be missing, so the page took a new snapshot. ` +
        `${known} kept ${known === 1 ? "event" : "events"} came again and were recognised by their ids.`, "warn");
      reset = null;
    }
    if (!away) return;
    const { count } = away;
    away = null;
    document.body.dataset.replayed = count;
    notify(count === 0 ? "Reconnected. Nothing happened while you were away." :
      `Reconnected. ${count} ${count === 1 ? "event" : "events"} that you missed ${count === 1 ? "was" : "were"} replayed, in order, each once.`);
  };

  byId("toggle").addEventListener("click", () => {
    if (stream.isOpen) {
      stream.disconnect();
      delete document.body.dataset.replayed;
      notify("Disconnected. Events go on without you; reconnect to get those that you miss.");
    } else {
      away = { count: 0 };
      stream.connect();
    }
  });
  byId("lost").addEventListener("click", () => stream.connectFrom("00000000-0000-7000-8000-000000000000"));
  importCard.onFresh = () => accounts.show([]);

  stream.onFirstOpen = async () => {
    await post("/demo/session");
    await post("/demo/import?first");
  };
  // From where the snapshot ends, so that nothing is missed between the two.
  stream.connectFrom(snapshot.recent[0]?.id ?? "");
  journey.poll();
}

export async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body });
  if (!answer.ok) notify((await answer.json()).error ?? "The demo did not take it.", "bad");
  return answer.ok;
}

async function fetchState() {
  const answer = await fetch("/demo/state");
  if (!answer.ok) throw new Error(`/demo/state answered ${answer.status}`);
  return answer.json();
}

start().catch((error) => {
  document.body.dataset.state = "failed";
  byId("state-text").textContent = stateText.failed;
  notify("The demo did not answer. Reload this page to try again.", "bad");
  throw error;
});
