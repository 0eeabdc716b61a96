// Names of saved files: the same rules as the service's (app/names.py).

const LONGEST_NAME = 150; // UTF-8 bytes, without the extension
const NAMELESS = "Untitled";
const INVISIBLE = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/gu;
const RESERVED = /^(CON|PRN|AUX|NUL|CLOCK\$|(?:COM|LPT)[0-9¹²³])(?=\.|$)/iu; // on Windows

/** A name that is valid in all common file systems, without an extension. */
export function cleanName(name) {
  const shown = name.replace(/\p{Cs}/gu, "").normalize("NFC").replace(INVISIBLE, "");
  const single = shown.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ").split(/\s+/u).filter(Boolean).join(" ");
  const safe = cut(single).replace(/[\\/:*?"<>|]/gu, "_").replace(/^[ .]+|[ .]+$/gu, "");
  return safe.replace(RESERVED, "$1_") || NAMELESS;
}

/** A clean name of a file, which keeps its extension, and what stands behind the last " - ": only the title is cut. */
export function fileName(name) {
  const [, stem, end] = /^(.*?)(\.[a-z0-9]{1,4})?$/su.exec(name.replace(/\p{Cs}/gu, ""));
  const [, title, part] = /^(.*?)((?: - (?:(?! - ).){1,60})?)$/su.exec(stem);
  return cleanName(cut(title, LONGEST_NAME - bytes(part)) + part) + (end ?? "");
}

function bytes(text) {
  return new TextEncoder().encode(text).length;
}

function cut(text, length = LONGEST_NAME) {
  // As a stream, an incomplete character at the end is left out.
  return new TextDecoder().decode(new TextEncoder().encode(text).slice(0, Math.max(0, length)), { stream: true });
}
