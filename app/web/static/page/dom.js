// Elements, and numbers as text for people.

/** The element with an id. */
export const the = (id) => document.getElementById(id);

/** Make an element: properties (`aria-…`, `data-…`, `role` and `for` as attributes), then children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** "3:03" for 183.4 seconds; "" if unknown. */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The day of an ISO time, in the reader's format. */
export function day(iso) {
  const date = new Date(iso ?? NaN);
  return Number.isNaN(date.valueOf()) ? "" : date.toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** "2 stems", "1 download". */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
