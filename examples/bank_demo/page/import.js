// The running import: its bar follows import.* events, its buttons ask the producer for another.
import { byId, notify } from "./dom.js";
import { post } from "./main.js";

const SIZE_MAX = 8 * 1024 * 1024;

const SAYS = {
  "": "A bank statement is being imported.",
  done: "A bank statement was imported.",
  failed: "A bank statement could not be imported.",
};

export class ImportCard {
  onFresh = () => {};
  #percent = 0;

  constructor(last) {
    if (last) {
      byId("import-file").textContent = last.name;
      this.#show(last.error ? 0 : 100, last.error || "done before this page was opened", last.error ? "failed" : "done");
    }
    byId("again").addEventListener("click", () => post("/demo/import"));
    byId("fresh").addEventListener("click", async () => {
      if (await post("/demo/import?fresh")) this.onFresh();
    });
    byId("file").addEventListener("change", ({ target }) => {
      this.#send(target.files[0]);
      target.value = "";
    });
    this.#acceptDrops(byId("drop"));
  }

  handle({ type, payload }) {
    if (type === "import.started") {
      this.#percent = 0;
      byId("import-file").textContent = payload.file_name;
      byId("import-format").textContent = payload.file_format;
      byId("import-format").hidden = false;
      this.#show(0, "reading the file", "");
    } else if (type === "import.progress") {
      byId("import-file").textContent = payload.file_name;
      this.#show(payload.progress_percent, `${payload.records_processed} records`, "");
    } else if (type === "import.completed") {
      const number = payload.records_imported;
      this.#show(100, number === 0 ? "nothing new: every transaction was known" : `done: ${number} new ${number === 1 ? "transaction" : "transactions"}`, "done");
    } else if (type === "import.failed") {
      byId("import-file").textContent = payload.file_name;
      this.#show(this.#percent, payload.error, "failed");
    }
  }

  #show(percent, text, end) {
    this.#percent = percent;
    const bar = byId("bar");
    bar.dataset.end = end;
    byId("says").textContent = SAYS[end];
    bar.setAttribute("aria-valuenow", String(percent));
    byId("bar-fill").style.transform = `scaleX(${percent / 100})`;
    byId("percent").textContent = end === "failed" ? "Failed" : `${percent} %`;
    byId("records").textContent = text;
  }

  async #send(file) {
    if (!file) return;
    if (file.size > SIZE_MAX) {
      notify("The file is larger than 8 MB.", "bad");
      return;
    }
    await post(`/demo/import?${new URLSearchParams({ name: file.name })}`, file);
  }

  #acceptDrops(target) {
    target.addEventListener("dragover", (event) => {
      event.preventDefault();
      target.classList.add("over");
    });
    target.addEventListener("dragleave", () => target.classList.remove("over"));
    target.addEventListener("drop", (event) => {
      event.preventDefault();
      target.classList.remove("over");
      this.#send(event.dataTransfer.files[0]);
    });
  }
}
