// Files that the page saves by itself.

import { ask } from "./api.js";
import { fileName } from "./names.js";

/** Download a file and save it under a name; a link could not send the API key or cookie. */
export async function save(path, name) {
  const response = await ask(path);
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  saveBlob(await response.blob(), named ? decodeURIComponent(named[1]) : name);
}

/** Save a Blob under a name. */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName(name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
