// The few helpers that touch the document; text is only ever set as text.
export const byId = (id) => document.getElementById(id);

export function make(tag, { className, text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const NOTICE_MS = 9000;
let hiding = 0;
export function notify(text, kind = "info") {
  const notice = byId("notice");
  clearTimeout(hiding);
  hiding = setTimeout(() => { notice.hidden = true; }, NOTICE_MS);
  notice.textContent = text;
  notice.dataset.kind = kind;
  notice.hidden = false;
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

const formats = new Map();
export function money(amount, currency, sign = false) {
  const key = `${currency}${sign}`;
  if (!formats.has(key)) {
    const options = { style: "currency", currency, signDisplay: sign ? "exceptZero" : "auto" };
    formats.set(key, new Intl.NumberFormat("en-US", options));
  }
  return formats.get(key).format(amount).replace("-", "\u2212");
}
