// One EventSource: its filter, its place in the stream, and what counts as replayed.
const QUIET_MS = 400; // no replayed event for this long means that we have caught up
const KNOWN_MAX = 10_000; // ids remembered, to recognise what is sent again after a reset

export class Stream {
  onState = () => {};
  onEvent = () => {};
  onReset = () => {};
  onCaughtUp = () => {};
  onFirstOpen = () => {};
  #source = null;
  #lastId = "";
  #categories = [];
  #connectedAt = 0;
  #caughtUp = 0;
  #opened = false;
  #seen = new Set();
  #known = 0;

  constructor(userId, types) {
    this.userId = userId;
    this.types = types;
  }

  get isOpen() {
    return this.#source !== null && this.#source.readyState !== EventSource.CLOSED;
  }

  // EventSource sends Last-Event-ID by itself only when it reconnects by itself, so here we say it.
  connect() {
    this.connectFrom(this.#lastId);
  }

  connectFrom(lastId) {
    this.#source?.close();
    const query = new URLSearchParams({ user_id: this.userId });
    if (this.#categories.length) query.set("categories", this.#categories.join(","));
    if (lastId) query.set("last_event_id", lastId);
    this.#connectedAt = Date.now();
    const source = new EventSource(`/api/v1/events?${query}`);
    this.#source = source;
    this.onState("connecting");
    source.onopen = () => this.#whenOpen();
    source.onerror = () => this.#whenLost(source);
    source.addEventListener("stream.reset", (message) => this.onReset(JSON.parse(message.data).reason));
    for (const type of this.types) source.addEventListener(type, (message) => this.#receive(message));
  }

  disconnect() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#caughtUp);
    this.onState("off");
  }

  choose(categories) {
    this.#categories = categories;
    if (this.#source) this.connect();
  }

  // How many events came that we had already, since this was last asked.
  takeKnown() {
    const known = this.#known;
    this.#known = 0;
    return known;
  }

  #whenOpen() {
    this.onState("live");
    this.#expectQuiet();
    if (!this.#opened) this.onFirstOpen();
    this.#opened = true;
  }

  #whenLost(source) {
    if (source.readyState === EventSource.CLOSED) {
      this.onState("failed");
    } else {
      this.onState("connecting");
      this.#connectedAt = Date.now(); // the browser comes back by itself, with Last-Event-ID
    }
  }

  #receive(message) {
    const now = Date.now();
    const happenedAt = timeOf(message.lastEventId);
    const replayed = this.#opened && happenedAt < this.#connectedAt;
    this.#lastId = message.lastEventId;
    if (replayed) this.#expectQuiet();
    if (this.#seen.has(message.lastEventId)) {
      this.#known += 1;
      return;
    }
    this.#seen.add(message.lastEventId);
    if (this.#seen.size > KNOWN_MAX) this.#seen.delete(this.#seen.values().next().value);
    this.onEvent({
      id: message.lastEventId,
      type: message.type,
      payload: JSON.parse(message.data),
      latencyMs: Math.max(0, now - happenedAt),
      replayed,
    });
  }

  #expectQuiet() {
    clearTimeout(this.#caughtUp);
    this.#caughtUp = setTimeout(() => this.onCaughtUp(), QUIET_MS);
  }
}

// A UUIDv7 begins with the milliseconds at which its event occurred.
function timeOf(id) {
  return parseInt(id.replace("-", "").slice(0, 12), 16);
}
