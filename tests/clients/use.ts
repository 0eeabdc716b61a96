// A program that uses the generated client: `node use.js ADDRESS COOKIE SONG` prints what it got as JSON.
import process from 'node:process';
import {
  type ClipStatus,
  type ErrorCode,
  type SplitRequest,
  type SplitState,
  type StemClip,
  generateStems,
  getClips,
  getLimit,
  getStemsZip,
  listStems,
} from './client/index.js';
import { client } from './client/client.gen.js';

const [url = '', cookie = '', song = ''] = process.argv.slice(2);
client.setConfig({ baseUrl: url, headers: { 'X-Suno-Cookie': cookie } });

const body: SplitRequest = { audio_id: song };
// A state comes instead of stems only with on_captcha: 'wait'.
const stemsOf = (data: StemClip[] | SplitState): StemClip[] => (Array.isArray(data) ? data : []);
const two = await generateStems({ body, throwOnError: true });
const twelve = await generateStems({ body: { ...body, stem_task: 'twelve', wait_audio: true }, throwOnError: true });
const statuses: (ClipStatus | null)[] = stemsOf(twelve.data).map((stem) => stem.status);

const stems = await listStems({ query: { audio_id: song }, throwOnError: true });
const clips = await getClips({ query: { ids: [song, ...stemsOf(twelve.data).slice(0, 1).map((stem) => stem.id)] }, throwOnError: true });
const left = await getLimit({ throwOnError: true });

const refused = await generateStems({ body: { audio_id: 'not an id' } });
const code: ErrorCode | undefined = refused.error?.code;
const notKept = await getStemsZip({ query: { audio_id: song, format: 'wav' } });

console.log(
  JSON.stringify({
    two: stemsOf(two.data).length,
    twelve: [...new Set(statuses)],
    stems: stems.data.length,
    takes: [...new Set(stems.data.map((stem) => stem.take))].sort(),
    clips: clips.data.length,
    credits_left: left.data.credits_left,
    refused: [refused.response?.status, code, Object.keys(refused.error?.details ?? {})],
    not_kept: notKept.error?.code,
  }),
);
