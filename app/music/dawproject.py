"""A session as a DAWproject 1.0 file: `project.xml` and `metadata.xml`, in a ZIP with the audio under `audio/`.

Bitwig, Studio One, Cubase and others open it. The form is that of the public schemas of version 1.0.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from app.music.session import Session, Track, section_name
from app.music.words import one_line

AUDIO_FOLDER = "audio"

DEFAULT_BPM = 120.0

APPLICATION = "suno-stems"


def project_xml_of(session: Session, *, version: str) -> bytes:
    """Write `project.xml`. `version`: of this service. The tracks' files are relative to the ZIP's root."""
    project = Element("Project", version="1.0")
    SubElement(project, "Application", name=APPLICATION, version=version)
    _add_transport(project, session)
    structure = SubElement(project, "Structure")
    for number, track in enumerate(session.tracks):
        _add_track(structure, track, number)
    SubElement(
        SubElement(structure, "Track", contentType="audio", id="track-master", loaded="true", name="Master"),
        "Channel", audioChannels="2", id="channel-master", role="master", solo="false",
    )  # fmt: skip
    _add_arrangement(project, session)
    return _written(project)


def metadata_xml_of(session: Session) -> bytes:
    """Write `metadata.xml`."""
    metadata = Element("MetaData")
    SubElement(metadata, "Title").text = _valid(session.title)
    return _written(metadata)


def _add_transport(project: Element, session: Session) -> None:
    transport = SubElement(project, "Transport")
    bpm = session.tempo_map.tempos[0].bpm if session.tempo_map else session.bpm or DEFAULT_BPM
    SubElement(transport, "Tempo", id="tempo", name="Tempo", unit="bpm", value=_number(bpm), min="1", max="10000")
    signatures = session.tempo_map.signatures if session.tempo_map else ()
    numerator, denominator = (signatures[0].numerator, signatures[0].denominator) if signatures else (4, 4)
    SubElement(
        transport, "TimeSignature", id="signature", numerator=str(numerator), denominator=str(denominator)
    )  # fmt: skip


def _add_track(structure: Element, track: Track, number: int) -> None:
    element = SubElement(
        structure, "Track", contentType="audio", id=f"track-{number}", loaded="true", name=_valid(track.name),
        color=track.colour,
    )  # fmt: skip
    channel = SubElement(
        element, "Channel", audioChannels="2", destination="channel-master", id=f"channel-{number}", role="regular",
        solo="false",
    )  # fmt: skip
    SubElement(channel, "Mute", id=f"mute-{number}", name="Mute", value=str(track.is_muted).lower())
    SubElement(channel, "Volume", id=f"volume-{number}", name="Volume", unit="linear", value="1", min="0", max="2")


def _add_arrangement(project: Element, session: Session) -> None:
    arrangement = SubElement(project, "Arrangement", id="arrangement")
    # In seconds: a stem starts with the song and keeps its length, whatever the tempo does.
    lanes = SubElement(arrangement, "Lanes", id="lanes", timeUnit="seconds")
    for number, track in enumerate(session.tracks):
        clips = SubElement(
            SubElement(lanes, "Lanes", id=f"lanes-{number}", timeUnit="seconds", track=f"track-{number}"),
            "Clips", id=f"clips-{number}", timeUnit="seconds",
        )  # fmt: skip
        length = _number(track.seconds)
        clip = SubElement(
            clips,
            "Clip",
            time="0",
            duration=length,
            contentTimeUnit="seconds",
            playStart="0",
            name=_valid(track.name),
        )
        audio = SubElement(
            clip, "Audio", algorithm="raw", id=f"audio-{number}", duration=length,
            channels=str(track.channels), sampleRate=str(track.sample_rate),
        )  # fmt: skip
        SubElement(audio, "File", path=f"{AUDIO_FOLDER}/{_valid(track.file)}")
    _add_markers(arrangement, session)
    if session.tempo_map:
        _add_tempos(arrangement, session)


def _add_markers(arrangement: Element, session: Session) -> None:
    if not session.sections:
        return
    markers = SubElement(arrangement, "Markers", id="markers", timeUnit="seconds")
    for number, section in enumerate(session.sections, 1):
        SubElement(markers, "Marker", time=_number(section.at), name=_valid(section_name(section, number)))


def _add_tempos(arrangement: Element, session: Session) -> None:
    """The tempos, at their places in quarter notes; a tempo stays until the next one."""
    tempo_map = session.tempo_map
    if tempo_map is None:
        return
    tempos = SubElement(arrangement, "TempoAutomation", id="tempos", timeUnit="beats", unit="bpm")
    SubElement(tempos, "Target", parameter="tempo")
    for tempo in tempo_map.tempos:
        SubElement(
            tempos, "RealPoint", time=_number(float(tempo.position)), value=_number(tempo.bpm), interpolation="hold"
        )
    if not tempo_map.signatures:
        return
    signatures = SubElement(arrangement, "TimeSignatureAutomation", id="signatures", timeUnit="beats")
    SubElement(signatures, "Target", parameter="signature")
    for each in tempo_map.signatures:
        SubElement(
            signatures, "TimeSignaturePoint", time=_number(float(each.position)), numerator=str(each.numerator),
            denominator=str(each.denominator),
        )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _valid(text: str) -> str:
    """The text without the two characters that XML 1.0 forbids beside those that are not shown."""
    return one_line(text).replace("\ufffe", "").replace("\uffff", "")


def _written(root: Element) -> bytes:
    indent(root)
    written: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return written
