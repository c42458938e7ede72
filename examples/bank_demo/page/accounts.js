// One card an account: its balance counts to each new value, a line shows where it came from.
import { byId, calm, make, money } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const POINTS_MAX = 120;
const COUNT_MS = 350;

export class Accounts {
  #cards = new Map();

  constructor(accounts) {
    this.show(accounts);
  }

  show(accounts) {
    for (const account of accounts) this.#names.set(account.id, account.name);
    byId("accounts").replaceChildren();
    this.#cards.clear();
    for (const account of accounts) {
      const card = this.#card(account.id, account.currency, Number(account.balance));
      card.setHistory([account.opening, ...account.history].map(Number));
      card.setHoldings(account.holdings);
    }
  }

  handle({ type, payload }) {
    if (type === "portfolio.balance.updated") {
      const before = Number(payload.previous_balance);
      this.#card(payload.account_id, payload.currency, before).moveTo(Number(payload.new_balance), before);
      if (!this.#names.has(payload.account_id)) this.#learnNames();
    } else if (type === "portfolio.holdings.updated") {
      this.#cards.get(payload.account_id)?.setHoldings(payload.holdings_count);
    }
  }

  // Events carry ids, not names: those are the service's own, and asked for once.
  #names = new Map();
  #asked = false;
  async #learnNames() {
    if (this.#asked) return;
    this.#asked = true;
    const { accounts } = await (await fetch("/demo/state")).json();
    for (const { id, name } of accounts) {
      this.#names.set(id, name);
      this.#cards.get(id)?.setName(name);
    }
    this.#asked = false;
  }

  #card(id, currency, balance) {
    if (!this.#cards.has(id)) {
      const card = new AccountCard(currency, balance, this.#names.get(id) ?? "Account");
      this.#cards.set(id, card);
      byId("accounts").append(card.element);
    }
    return this.#cards.get(id);
  }
}

class AccountCard {
  constructor(currency, balance, name) {
    this.currency = currency;
    this.points = [balance];
    this.shown = balance;
    this.title = make("h3", { text: name });
    this.balance = make("div", { className: "balance" });
    this.change = make("span", { className: "change" });
    this.holdings = make("span");
    this.line = document.createElementNS(SVG, "path");
    const chart = document.createElementNS(SVG, "svg");
    chart.setAttribute("viewBox", "0 0 100 30");
    chart.setAttribute("preserveAspectRatio", "none");
    chart.setAttribute("aria-hidden", "true");
    chart.append(this.line);
    this.element = make("article", { className: "card account" }, this.title, this.balance, chart,
      make("div", { className: "row" }, this.change, this.holdings));
    this.#print(balance);
    this.#draw();
  }

  setName(name) {
    this.title.textContent = name;
  }

  setHistory(balances) {
    if (balances.length < 2) return;
    this.points = balances.slice(-POINTS_MAX);
    this.#draw();
    this.#showChange(balances.at(-1) - balances.at(-2));
  }

  setHoldings(count) {
    this.holdings.textContent = count ? `${count} holdings` : "";
  }

  moveTo(balance, before) {
    this.#showChange(balance - before);
    this.points.push(balance);
    if (this.points.length > POINTS_MAX) this.points.shift();
    this.#draw();
    this.#countTo(balance);
  }

  #showChange(change) {
    this.change.textContent = money(change, this.currency, true);
    this.change.dataset.sign = change < 0 ? "down" : "up";
  }

  #countTo(target) {
    cancelAnimationFrame(this.frame);
    if (calm.matches || document.hidden) {
      this.#print(target);
      return;
    }
    const from = this.shown;
    const startedAt = performance.now();
    const step = (now) => {
      // A frame's time is that of its beginning, which may lie before the event that asked for it.
      const part = Math.max(0, Math.min(1, (now - startedAt) / COUNT_MS));
      this.#print(part === 1 ? target : from + (target - from) * (1 - (1 - part) ** 3));
      if (part < 1) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  #print(amount) {
    this.shown = amount;
    this.balance.textContent = money(amount, this.currency);
  }

  #draw() {
    const low = Math.min(...this.points);
    const span = Math.max(...this.points) - low || 1;
    const step = 100 / Math.max(1, this.points.length - 1);
    const place = (value, index) => `${(index * step).toFixed(2)} ${(28 - ((value - low) / span) * 26).toFixed(2)}`;
    this.line.setAttribute("d", this.points.length > 1 ? `M${this.points.map(place).join("L")}` : "M0 28L100 28");
  }
}
