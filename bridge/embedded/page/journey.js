// The six stations with their counters, and a dot for each event that arrives. All figures are of one moment, the
// browser's too: what had arrived when the others were asked, they had seen.
import { byId, calm, make } from "./dom.js";

const POLL_MS = 250;
const DOTS_MAX = 14;
const TRAVEL_MS = 900;

export class Journey {
  #received = 0;
  #dots = 0;
  #last = {};

  arrived(event) {
    this.#received += 1;
    this.#pulse("browser");
    if (!event.replayed) this.#travel(event.category);
  }

  async poll() {
    if (!document.hidden) {
      const received = this.#received;
      this.#show({ ...(await askStations()), received });
    }
    setTimeout(() => this.poll(), POLL_MS);
  }

  #show(now) {
    this.#put("emitted", now.emitted, "producer");
    this.#put("queued", now.queued, "queue");
    this.#put("published", now.published, "worker");
    this.#put("kept", now.kept, "redis");
    this.#put("clients", now.clients, null);
    this.#put("received", now.received, null);
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
