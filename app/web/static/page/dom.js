// Elements of the page.

/** The element with an id. */
export const the = (id) => document.getElementById(id);

/** Make an element: properties (`aria-…`, `data-…`, `role` and `for` as attributes), then children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A button with a text. */
export const button = (text, onclick, className = "") => make("button", { type: "button", className, onclick }, text);

const styles = new Map();

/** Load a style sheet, once; resolves when it is there. What is shown without it would jump under the pointer. */
export function style(name) {
  if (!styles.has(name)) {
    const href = new URL(name, import.meta.url).pathname;
    styles.set(name, new Promise((resolve) => document.head.append(make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }))));
  }
  return styles.get(name);
}

/** Set the text of a live region, unless it is there already: it would be announced again. */
export function say(id, text) {
  if (the(id).textContent !== text) the(id).textContent = text;
}
