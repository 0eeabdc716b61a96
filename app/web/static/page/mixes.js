// The mixes of songs, remembered in this browser: which stems are muted, how loud, and where.

const STORE = "suno-stems.mixes";
const MOST = 100; // songs: the oldest are forgotten

const read = () => JSON.parse(localStorage.getItem(STORE) ?? "{}");

/** The mix of a song: {muted, volume, pan} by the stem's id. */
export const mixOf = (songId) => read()[songId] ?? {};

/** Remember how a stem of a song is mixed. */
export function noteMix(songId, stemId, { muted, volume, pan }) {
  const { [songId]: known, ...others } = read();
  const kept = Object.entries(others).slice(1 - MOST);
  localStorage.setItem(STORE, JSON.stringify({ ...Object.fromEntries(kept), [songId]: { ...known, [stemId]: { muted, volume, pan } } }));
}
