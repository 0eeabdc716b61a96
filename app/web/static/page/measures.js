// What is wrong with a kept file, in words, by its measures in POST /api/audio. Free of elements and requests.

const NAMES = {
  silent: () => "silent",
  clipped: () => "clipped",
  late: ({ lag_ms: lag }) => `starts ${Math.round(lag)} ms late`,
  early: ({ lag_ms: lag }) => `starts ${Math.round(-lag)} ms early`,
  shorter: (file, song) => `${difference(file, song)}shorter than the song`,
  longer: (file, song) => `${difference(file, song)}longer than the song`,
  other_sample_rate: ({ sample_rate: own }, song) => `${hertz(own)}${song?.sample_rate ? `, the song ${hertz(song.sample_rate)}` : ""}`,
};

/** The faults of a file in words; "" for none. `song`: the original's file, if it is known. */
export function faultsOf(file, song) {
  return (file.faults ?? []).map((fault) => NAMES[fault]?.(file, song) ?? fault.replaceAll("_", " ")).join(", ");
}

/** Whether the stems were compared with the song: null until all are kept, and a moment longer. */
export function areCompared(files, songId) {
  return files.every(({ id, status, frames, same_length: isSame }) => id === songId || status !== "kept" || !frames || isSame !== null);
}

const lengthOf = ({ frames, sample_rate: rate }) => frames / rate;
const hertz = (rate) => `${rate.toLocaleString("en")} Hz`;

function difference(file, song) {
  if (!file.frames || !song?.frames) return "";
  return `${Math.abs(lengthOf(song) - lengthOf(file)).toFixed(2).replace(/0$/, "")} s `;
}
