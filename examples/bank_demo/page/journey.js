// The six stations with their counters, and a dot for each event that arrives. The browser's own figure is of this very
// moment; what it has, the stations before it had, so none of them shows less until they are asked again.
import { byId, calm, make } from "./dom.js";

const POLL_MS = 250;
const DOTS_MAX = 14;
const TRAVEL_MS = 900;

export class Journey {
  #received = 0;
  #dots = 0;
  #last = {};
  #asked = {};
  #receivedBefore = 0;

  arrived(event) {
    this.#received += 1;
    this.#show();
    this.#pulse("browser");
    if (!event.replayed) this.#travel(event.category);
  }

  async poll() {
    if (!document.hidden) {
      const received = this.#received;
      this.#asked = await askStations();
      this.#receivedBefore = received;
      this.#show();
    }
    setTimeout(() => this.poll(), POLL_MS);
  }

  #show() {
    const { emitted, queued, published, kept, clients } = this.#asked;
    // A stream that was trimmed or has expired keeps less than was published, and so may hold less than arrived here.
    const trimmed = kept < this.#receivedBefore;
    this.#put("emitted", this.#atLeast(emitted), "producer");
    this.#put("queued", queued, "queue");
    this.#put("published", this.#atLeast(published), "worker");
    this.#put("kept", trimmed ? kept : this.#atLeast(kept), "redis");
    this.#put("clients", clients, null);
    this.#put("received", this.#received, null);
  }

  #atLeast(number) {
    return typeof number === "number" ? Math.max(number, this.#received) : number;
  }

  #put(name, value, station) {
    byId(`n-${name}`).textContent = value === null || value === undefined ? "–" : value.toLocaleString("en-US");
    if (station && this.#last[name] !== undefined && this.#last[name] !== value) this.#pulse(station);
    this.#last[name] = value;
  }

  #pulse(station) {
    const element = document.querySelector(`[data-station="${station}"]`);
    element.classList.add("busy");
    clearTimeout(element.calmDown);
    element.calmDown = setTimeout(() => element.classList.remove("busy"), 450);
  }

  #travel(category) {
    if (this.#dots >= DOTS_MAX || calm.matches || document.hidden) return;
    this.#dots += 1;
    const dot = make("span", { "data-category": category });
    byId("track").append(dot);
    const frames = [{ left: "0%", opacity: 0 }, { opacity: 1, offset: 0.1 }, { opacity: 1, offset: 0.9 }, { left: "100%", opacity: 0 }];
    dot.animate(frames, { duration: TRAVEL_MS, easing: "linear" }).onfinish = () => {
      dot.remove();
      this.#dots -= 1;
    };
  }
}

async function askStations() {
  try {
    return await (await fetch("/demo/journey")).json();
  } catch {
    return {}; // away: each is shown as unknown
  }
}
