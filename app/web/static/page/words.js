// Which word of a song is sung when, free of elements and requests.

const HOLD = 0.15; // seconds that a word stays lit in a short pause after it
const READY = 1.5; // seconds before its first word that a line is shown as the current one
const PAUSE = 4; // seconds without words that are counted down

/** The words of GET /api/lyrics/{id}.json. Its times never go backwards. */
export class Words {
  #words = []; // of all lines, in order of time
  #firsts = []; // the number of each line's first word

  constructor(lines) {
    this.lines = lines;
    lines.forEach((line, number) => {
      this.#firsts.push(this.#words.length);
      line.words.forEach((word, place) => this.#words.push({ ...word, line: number, place }));
    });
  }

  /**
   * What a time shows. `line`: the line that is sung, or is next. `place`: its last word that has begun, -1 before the
   * first. `isLit`: whether that word is sung now. `pause`: whole seconds until the next word, 0 if it is near.
   */
  at(seconds) {
    const number = lastBegun(this.#words, seconds);
    const word = this.#words[number];
    const next = this.#words[number + 1];
    const isOver = !word || seconds >= word.end_s + HOLD;
    const wait = next ? next.start_s - seconds : 0;
    const pause = isOver && next && next.start_s - (word?.end_s ?? 0) >= PAUSE ? Math.ceil(wait) : 0;
    const isNext = next && (!word || (isOver && next.line !== word.line && wait <= READY));
    if (isNext) return { line: next.line, place: -1, isLit: false, pause };
    return { line: word?.line ?? 0, place: word?.place ?? -1, isLit: !isOver, pause };
  }

  /** Where a line begins. */
  startOf(line) {
    return this.#words[this.#firsts[line]].start_s;
  }
}

/** The number of the last word that has begun; -1 before the first. */
function lastBegun(words, seconds) {
  let from = 0;
  let to = words.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (words[middle].start_s <= seconds) from = middle + 1;
    else to = middle;
  }
  return from - 1;
}
