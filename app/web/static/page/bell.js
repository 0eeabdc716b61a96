// Says that a split has ended to someone who looks elsewhere: a soft sound, and a notification if it is allowed.

const TONES = [[660, 0], [880, 0.15]]; // hertz, and seconds after the start
const LENGTH = 0.5; // seconds
const LOUDNESS = 0.05;

/** Whether the person can be asked for notifications. */
export const canAsk = () => "Notification" in window && Notification.permission === "default";

/** Ask to be allowed to notify. */
export const askPermission = () => Notification.requestPermission();

function notify(text) {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  try {
    new Notification("Suno Stems", { body: text });
  } catch {
    // Phones allow no notification of a page: the sound is left.
  }
}

/** Ring; `text` is for the notification of a page in the background. */
export async function ring(text) {
  if (!document.hidden) return;
  notify(text);
  const context = new AudioContext();
  if (context.state === "running") {
    const gain = new GainNode(context, { gain: LOUDNESS });
    gain.connect(context.destination);
    for (const [frequency, at] of TONES) {
      const tone = new OscillatorNode(context, { frequency });
      tone.connect(gain);
      tone.start(context.currentTime + at);
      tone.stop(context.currentTime + LENGTH);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 * LENGTH));
  }
  context.close();
}
