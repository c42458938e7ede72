// One chip a category; the stream is opened again with ?categories= when they change.
import { byId, make, notify } from "./dom.js";

export class Filters {
  #chips = new Map();
  #counts = new Map();

  constructor(categories, onChange) {
    for (const category of categories) {
      const number = make("span", { text: "0" });
      const chip = make("button", { type: "button", "aria-pressed": "true", "data-category": category, text: category.replace("_", " ") });
      chip.append(number);
      chip.addEventListener("click", () => this.#toggle(chip, onChange));
      this.#chips.set(category, chip);
      this.#counts.set(category, { number, value: 0 });
      byId("chips").append(chip);
    }
  }

  count({ category }) {
    const count = this.#counts.get(category);
    count.value += 1;
    count.number.textContent = count.value.toLocaleString("en-US");
  }

  #toggle(chip, onChange) {
    const pressed = chip.getAttribute("aria-pressed") === "true";
    chip.setAttribute("aria-pressed", String(!pressed));
    const chosen = [...this.#chips].filter(([, each]) => each.getAttribute("aria-pressed") === "true").map(([name]) => name);
    if (chosen.length === 0) {
      chip.setAttribute("aria-pressed", "true");
      notify("At least one category stays on.");
      return;
    }
    onChange(chosen.length === this.#chips.size ? [] : chosen);
  }
}
