// The list of events, newest first; each opens to show its id and payload.
import { byId, make, money } from "./dom.js";

const ENTRIES_MAX = 150;
const SAMPLES_MAX = 200;

export class Feed {
  #list = byId("feed");
  #latencies = [];

  add(event) {
    this.#list.querySelector(`li[data-id="${CSS.escape(event.id)}"]`)?.remove(); // it came again, or was in the snapshot
    this.#push(this.#entry(event, event.replayed ? "replayed" : ""));
    byId("position").textContent = `at …${event.id.slice(-12)}`;
    if (!event.replayed) this.#measure(event.latencyMs);
  }

  #entry(event, when) {
    const details = make("details", { className: when ? "replayed" : "" },
      make("summary", {},
        make("i"),
        make("code", { className: "type", text: event.type }),
        make("span", { className: "brief", text: brief(event) }),
        make("span", { className: "ms", text: when || `${event.latencyMs} ms` })));
    details.addEventListener("toggle", () => details.open && fill(details, event), { once: true });
    return make("li", { className: when ? "" : "new", "data-category": event.category, "data-id": event.id, "data-type": event.type }, details);
  }

  // What had happened before this page was opened, newest first; of the snapshot, not of the stream.
  showEarlier(events) {
    for (const event of events) this.#list.append(this.#entry(event, "earlier"));
  }

  addReset(reason) {
    const details = make("details", { className: "reset" },
      make("summary", {},
        make("i"),
        make("code", { className: "type", text: "stream.reset" }),
        make("span", { className: "brief", text: `${reason}: events before this point may be missing` }),
        make("span", { className: "ms", text: "control" })));
    this.#push(make("li", { className: "new", "data-category": "stream", "data-type": "stream.reset" }, details));
  }

  #push(entry) {
    // Whoever reads further down must not be pushed away from what they read.
    const reading = this.#list.scrollTop > 4;
    const heightBefore = this.#list.scrollHeight;
    this.#list.prepend(entry);
    if (this.#list.childElementCount > ENTRIES_MAX) this.#list.lastElementChild.remove();
    if (reading) this.#list.scrollTop += this.#list.scrollHeight - heightBefore;
  }

  #measure(latencyMs) {
    this.#latencies.push(latencyMs);
    if (this.#latencies.length > SAMPLES_MAX) this.#latencies.shift();
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    byId("latency").textContent = `emit to here: ${at(0.5)} ms median, ${at(0.99)} ms p99`;
  }
}

function fill(details, event) {
  const rows = Object.entries({ id: event.id, ...event.payload });
  details.append(make("dl", {}, ...rows.flatMap(([key, value]) =>
    [make("dt", { text: key }), make("dd", { text: value === null ? "null" : String(value) })])));
}

function brief({ type, payload }) {
  if (type === "portfolio.balance.updated") {
    const change = Number(payload.new_balance) - Number(payload.previous_balance);
    return `${money(change, payload.currency, true)} → ${money(Number(payload.new_balance), payload.currency)}`;
  }
  if (type === "import.progress") return `${payload.progress_percent} %, ${payload.records_processed} records`;
  return Object.entries(payload)
    .filter(([key, value]) => !key.endsWith("_id") && value !== null)
    .map(([key, value]) => `${key.replaceAll("_", " ")} ${value}`)
    .join(", ");
}
