"""The mixer, measured: tracks are in sync to the sample, and a rendered mix equals the files."""

from __future__ import annotations

import base64
import io
import math
import subprocess
import wave
from array import array
from operator import add
from pathlib import Path
from random import Random

import av
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import chromium
from tests.conftest import until
from tests.page.conftest import Page, samples, unzipped

SONG, LONG_SONG = "song-pages-404", "song-pages-400"
MEMORY = 400_000_000  # maximum bytes of the tab

OPEN = """
const { Mixer, Track } = await import("/page/mixer.js");
const { WavSource } = await import("/page/wav.js");
const { Mp3Source } = await import("/page/mp3.js");
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
"""

LISTEN = """
function listenTo(mixer) {
  const analyser = new AnalyserNode(mixer.output.context, { fftSize: 4096 });
  mixer.output.connect(analyser);
  const heard = new Float32Array(4096);
  return async (seconds) => {
    let loudest = 0;
    const ends = performance.now() + seconds * 1000;
    while (performance.now() < ends) {
      analyser.getFloatTimeDomainData(heard);
      for (const sample of heard) loudest = Math.max(loudest, Math.abs(sample));
      await wait(0.02);
    }
    return loudest;
  };
}
"""


def keep_files(page: Page, song: str, format: str, seconds: float) -> list[str]:
    """Wait until the files of a song and its two stems are kept, each `seconds` long; return the ids."""
    page.suno.set(audio_length=seconds)
    body = {"audio_id": song, "reuse_existing": True, "wait_audio": True}
    ids = [song, *(stem["id"] for stem in page.service.post("/api/generate_stems", json=body).json())]
    until(lambda: page.service.post("/api/audio", json={"ids": ids, "format": format}).status_code != 202)
    return ids


def test_stems_play_in_sync_to_the_sample(page: Page) -> None:
    ids = keep_files(page, LONG_SONG, "wav", 60)
    heard = page.run(
        OPEN
        + LISTEN
        + """
        const open = async (id) => new Track(await WavSource.open(`/api/audio/${id}.wav`));
        const [song, vocals, instrumental] = await Promise.all(given[0].map(open));
        song.volume = -1; // inverted: it cancels the sum of the stems
        const mixer = new Mixer();
        mixer.tracks.push(vocals, instrumental);
        await mixer.play();
        const loudest = listenTo(mixer);
        // A busy machine loads a piece later: a track that has none yet is silent.
        const changed = async () => {
            const isLoaded = (track) => track.pieces.get(`0:${Math.floor(mixer.position / 2)}`);
            while (!mixer.tracks.every(isLoaded)) await wait(0.05);
            await wait(0.5);
        };
        const result = { stems: await loudest(0.5) };
        mixer.tracks.push(song); // joins late
        mixer.update();
        await changed();
        result.all = await loudest(5); // past the end of a piece
        mixer.seek(17.3);
        await changed();
        result.afterSeek = await loudest(4);
        vocals.muted = true;
        mixer.update();
        await wait(0.3);
        result.withoutVocals = await loudest(1);
        vocals.muted = false;
        mixer.update();
        await changed();
        result.again = await loudest(1);
        mixer.pause();
        result.position = mixer.position;
        mixer.close();
        return result;
        """,
        ids,
    )
    assert heard["stems"] > 0.1
    assert heard["withoutVocals"] > 0.1
    assert max(heard["all"], heard["afterSeek"], heard["again"]) < 1e-6
    assert 17.3 < heard["position"] < 60  # playback has not ended


def test_playback_has_no_gap_between_pieces(page: Page) -> None:
    quietest = page.run(
        OPEN
        + """
        const source = { rate: 48_000, channels: 1, length: 60 * 48_000, seconds: 60, async read(first, count) {
          const buffer = new AudioBuffer({ length: count, numberOfChannels: 1, sampleRate: 48_000 });
          buffer.getChannelData(0).fill(0.5);
          return buffer;
        } };
        const mixer = new Mixer();
        mixer.tracks.push(new Track(source));
        await mixer.play();
        await wait(0.5);
        const analyser = new AnalyserNode(mixer.output.context, { fftSize: 32_768 });
        mixer.output.connect(analyser);
        await wait(1);
        const heard = new Float32Array(32_768);
        let quietest = 1;
        for (const ends = performance.now() + 6000; performance.now() < ends; await wait(0.2)) {
          analyser.getFloatTimeDomainData(heard);
          quietest = Math.min(quietest, ...heard);
        }
        mixer.close();
        return quietest;
        """
    )
    assert quietest == 0.5


def test_a_saved_mix_equals_the_sum_of_the_files(page: Page) -> None:
    keep_files(page, SONG, "wav", 11)
    page.choose_format("wav")
    page.enter(SONG + Keys.ENTER)
    page.press("Open the stems")
    page.wait_until_ready()
    page.press("Download all", role="link")
    files = unzipped(page.downloaded("Missing Page - Stems.zip"))
    vocals, music = (samples(files[f"{part}.wav"]) for part in ("Vocals", "Instrumental"))
    page.press("Save this mix")
    mix = samples(page.downloaded("Missing Page - Mix.wav"))
    assert mix.tolist() == list(map(add, vocals, music))
    page.press("Save karaoke")
    assert samples(page.downloaded("Missing Page - Karaoke.wav")) == music
    page.press("Solo", page.find("group", "Vocals"))
    page.press("Save this mix")
    assert samples(page.downloaded("Missing Page - Mix.wav")) == vocals
    volume = page.find("slider", "Volume", page.find("group", "Vocals"))
    page.browser.execute_script("arguments[0].value = 50; arguments[0].dispatchEvent(new Event('input'))", volume)
    page.press("Save this mix")
    quiet = samples(page.downloaded("Missing Page - Mix.wav"))
    assert max(abs(half - full / 4) for half, full in zip(quiet, vocals, strict=True)) <= 1
    assert page.complaints() == []


def mp3(seconds: float, *, rate: int, layout: str, kbits: int) -> bytes:
    """Return an MP3 file with noise and a tone."""
    noise, channels = Random(1), 2 if layout == "stereo" else 1
    count = int(seconds * rate) * channels
    made = array("h", (int(9_000 * math.sin(i / 9)) + noise.randrange(-15_000, 15_000) for i in range(count)))
    wav, out = io.BytesIO(), io.BytesIO()
    with wave.open(wav, "wb") as plain:
        plain.setparams((channels, 2, rate, 0, "NONE", ""))
        plain.writeframes(made.tobytes())
    wav.seek(0)
    with av.open(wav, format="wav") as source, av.open(out, "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=rate)
        stream.layout, stream.bit_rate = layout, kbits * 1000
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate, frame_size=1152)
        for frame in (*source.decode(audio=0), None):  # type: ignore[union-attr]
            for piece in resampler.resample(frame):
                file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


def music_in(file: bytes, *, rate: int, kbits: int) -> bytes:
    """Return the frames of an MP3 file without the first, in which the encoder stores the number of frames."""
    start = file.index(b"\xff\xfb")
    return file[start + 144_000 * kbits // rate + ((file[start + 2] >> 1) & 1) :]


SERVE_IT = """
const bytes = Uint8Array.from(atob(given[0]), (letter) => letter.charCodeAt(0));
window.fetch = async () => new Response(bytes.slice());
"""


@pytest.mark.parametrize(
    ("rate", "layout", "kbits"),
    [
        (44_100, "stereo", 320),
        (48_000, "stereo", 192),
        (44_100, "stereo", 64),
        (44_100, "mono", 32),
        (22_050, "mono", 8),
    ],
)
def test_pieces_of_an_mp3_equal_the_whole_file_decoded(page: Page, rate: int, layout: str, kbits: int) -> None:
    file = mp3(9, rate=rate, layout=layout, kbits=kbits)
    result = page.run(
        OPEN
        + SERVE_IT
        + """
        const source = await Mp3Source.open("/file.mp3");
        const whole = await new OfflineAudioContext(2, 1, source.rate).decodeAudioData(bytes.slice().buffer);
        let worst = 0, compared = 0;
        for (const [from, seconds] of [[0, 4], [4, 4], [8, 4], [0.01, 1], [5.3, 0.2]]) {
          const first = Math.round(from * source.rate);
          const piece = await source.read(first, Math.round(seconds * source.rate));
          for (let channel = 0; channel < source.channels; channel++) {
            const expected = whole.getChannelData(channel);
            piece.getChannelData(channel).forEach((sample, i) => {
              worst = Math.max(worst, Math.abs(sample - expected[first + i]));
              compared++;
            });
          }
        }
        const after = await source.read(source.length, 100);
        return { worst, compared, after, length: source.length, whole: whole.length, rate: source.rate };
        """,
        base64.b64encode(file).decode(),
    )
    assert result["rate"] == rate
    assert result["length"] == result["whole"] == 9 * rate
    assert result["compared"] == round((9 + 1.2) * rate) * (2 if layout == "stereo" else 1)
    assert (result["worst"], result["after"]) == (0, None)


def test_an_mp3_with_a_cover_and_without_an_encoder_tag_plays(page: Page) -> None:
    file = mp3(3, rate=44_100, layout="stereo", kbits=128)
    music = music_in(file, rate=44_100, kbits=128)
    cover = b"\xff\xfb\x90\x64" * 50_000  # bytes that look like frames, in the ID3 tag
    size = len(cover)
    head = b"ID3\x04\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    result = page.run(
        OPEN
        + SERVE_IT
        + """
        const source = await Mp3Source.open("/file.mp3");
        const piece = await source.read(44100, 44100);
        return { length: source.length, loud: Math.max(...piece.getChannelData(0).slice(0, 1000)) };
        """,
        base64.b64encode(head + cover + music).decode(),
    )
    assert result["length"] % 1152 == 0
    assert 3 * 44_100 <= result["length"] < 3.1 * 44_100
    assert result["loud"] > 0.1


def renderer_bytes(page: Page) -> int:
    """Return the resident bytes of the tab's process after garbage collection."""
    page.browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    driver = page.browser.service.process
    assert isinstance(driver, subprocess.Popen)
    parents: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if "--type=renderer" in (folder / "cmdline").read_text():
                sizes[int(folder.name)] = (
                    int((folder / "status").read_text().partition("VmRSS:")[2].split()[0]) * 1024
                )
        except OSError:
            continue  # the process has ended

    def is_ours(pid: int) -> bool:
        while pid not in (0, driver.pid):
            pid = parents.get(pid, 0)
        return pid == driver.pid

    return max(size for pid, size in sizes.items() if is_ours(pid))


def test_twelve_stems_of_eight_minutes_take_less_than_400_mb(page: Page, tmp_path: Path) -> None:
    with chromium(tmp_path) as fresh:  # the tab of the other tests may still hold their memory
        page = Page(fresh, page.service, page.suno, page.account, page.downloads)
        page.open()
        play_twelve(page)


def play_twelve(page: Page) -> None:
    once = mp3(10, rate=48_000, layout="stereo", kbits=192)
    result = page.run(
        OPEN
        + """
        const once = Uint8Array.from(atob(given[0]), (letter) => letter.charCodeAt(0));
        window.fetch = async () => new Response(new ReadableStream({
          start() { this.left = 48; },
          pull(controller) {
            controller.enqueue(once.slice());
            if (--this.left === 0) controller.close();
          },
        }));
        const sources = await Promise.all(Array.from({ length: 13 }, () => Mp3Source.open("/file.mp3")));
        const mixer = window.mixer = new Mixer();
        mixer.tracks.push(...sources.slice(0, 12).map((source) => new Track(source)));
        mixer.original = new Track(sources[12]);
        await mixer.play();
        for (const at of [0, 300, 100, 450]) {
          mixer.seek(at);
          await wait(1);
        }
        return { seconds: mixer.seconds, playing: mixer.playing };
        """,
        base64.b64encode(music_in(once, rate=48_000, kbits=192)).decode(),
    )
    assert result["playing"]
    assert result["seconds"] > 470
    assert renderer_bytes(page) < MEMORY
    size = page.run("const { blob } = await mixer.render([[mixer.tracks[0], 1]]); mixer.close(); return blob.size;")
    assert size > 470 * 48_000 * 4
    assert renderer_bytes(page) < MEMORY


@pytest.mark.parametrize("stated", [0, 0x7FFF_F000, 0xFFFF_FFFF])
def test_a_wav_whose_header_has_no_length_is_as_long_as_its_file(page: Page, folder: Path, stated: int) -> None:
    ids = keep_files(page, SONG, "wav", 4)
    [kept] = folder.glob(f"audio/*/{ids[0]}.wav")
    whole, unknown = kept.read_bytes(), stated.to_bytes(4, "little")
    kept.write_bytes(whole[:4] + unknown + whole[8:40] + unknown + whole[44:])
    try:
        result = page.run(
            OPEN
            + """
            const source = await WavSource.open(`/api/audio/${given[0]}.wav`);
            const mixer = new Mixer();
            mixer.tracks.push(new Track(source));
            const { blob } = await mixer.render([[mixer.tracks[0], 1]]);
            mixer.close();
            return { seconds: source.seconds, size: blob.size, after: await source.read(source.length, 10) };
            """,
            ids[0],
        )
    finally:
        kept.write_bytes(whole)
    assert (result["seconds"], result["after"]) == (len(samples(whole)) / 22_050, None)
    assert result["size"] >= len(whole)


def test_a_silent_mix_is_refused(page: Page) -> None:
    keep_files(page, SONG, "mp3", 4)
    page.enter(SONG + Keys.ENTER)
    page.press("Open the stems")
    page.wait_until_ready()
    for part in ("Vocals", "Instrumental"):
        page.press("Mute", page.find("group", part))
    page.press("Save this mix")
    page.wait(lambda: "Nothing can be heard" in page.browser.find_element(By.ID, "saving").text)


def test_an_interrupted_download_is_resumed(page: Page) -> None:
    file = mp3(9, rate=44_100, layout="mono", kbits=128)
    result = page.run(
        OPEN
        + """
        const bytes = Uint8Array.from(atob(given[0]), (letter) => letter.charCodeAt(0));
        const ranges = [];
        window.fetch = async (path, { headers }) => {
          ranges.push(headers.Range ?? null);
          const from = Number(/\\d+/.exec(headers.Range ?? "0")[0]);
          return new Response(new ReadableStream({
            pull(controller) {
              if (this.sent) return from ? controller.close() : controller.error(new Error("cut"));
              this.sent = true;
              controller.enqueue(bytes.slice(from, from ? undefined : 30_000));
            },
          }), { status: from ? 206 : 200 });
        };
        const source = await Mp3Source.open("/file.mp3");
        await source.whole();
        const piece = await source.read(8 * 44100, 44100);
        const whole = await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes.slice().buffer);
        const expected = whole.getChannelData(0).subarray(8 * 44100);
        const worst = piece.getChannelData(0).reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i])), 0);
        return { ranges, worst, length: piece.length };
        """,
        base64.b64encode(file).decode(),
    )
    assert result == {"ranges": [None, "bytes=30000-"], "worst": 0, "length": 44_100}
