"""Edits for editing software: CMX 3600 edit decision lists and OpenTimelineIO files."""

import json
import re
from pathlib import Path
from typing import Any

from genenvs.core.files import making
from genenvs.video.clips import FPS
from genenvs.video.film import CUT, FADE, TRANSITIONS, WIPE, Edit
from genenvs.video.footage import Footage

_HOUR = 3600 * FPS  # records begin at one hour, as is usual


def timecode(frame: int) -> str:
    """`hh:mm:ss:ff` of a frame, at `FPS`."""
    seconds, rest = divmod(frame, FPS)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}:{rest:02}"


def edl(edit: Edit, footage: Footage, title: str = "genenvs") -> str:
    """An edit as the text of a CMX 3600 list, at 24 frames a second.

    A transition is two lines of one number: the end of what gives way, without length, and what
    comes, with the length of the transition. A fade is two dissolves, to black and out of it. A
    film that begins with another transition has a black frame before its first.
    Reels are `C0000`, `C0001` ...; comments name clips and files.

    Raises:
        ValueError: an edit that cannot be cut, see `Edit.check`.
    """
    edit.check(footage)
    lines = [f"TITLE: {_line(title)}", "FCM: NON-DROP FRAME", ""]
    number, old, old_out = 0, "BL", 0

    def event(reel: str, how: str, source: tuple[int, int], record: tuple[int, int]) -> None:
        times = " ".join(map(timecode, (*source, *(_HOUR + frame for frame in record))))
        lines.append(f"{number:03}  {reel:8} B     {how:8} {times}")

    for k in range(len(edit)):
        clip, length = int(edit.clip[k]), int(edit.length[k])
        kind, lasts = int(edit.transition[k]), int(edit.lasts[k])
        file, offset, _ = footage.source(clip)
        begin, reel = int(edit.begins[k]), f"C{clip:04}"
        start, end = offset + int(edit.start[k]), begin + length
        skip = lasts // 2 if kind == FADE else 0
        number += 1
        if k == 0 and kind != CUT:  # readers want something before a transition
            event("BL", "C", (0, skip or 1), (0, skip) if skip else (-1, 0))
            number += 1
        elif skip:
            event(old, "C", (old_out, old_out), (begin, begin))
            event("BL", f"D    {skip:03}", (0, skip), (begin, begin + skip))
            number += 1
        if kind == FADE:
            old, old_out = "BL", skip
        if kind != CUT:
            event(old, "C", (old_out, old_out), (begin + skip, begin + skip))
        how = "C" if kind == CUT else f"{'W001' if kind == WIPE else 'D   '} {lasts - skip:03}"
        event(reel, how, (start + skip, start + length), (begin + skip, end))
        lines.append(f"* {'FROM' if kind == CUT else 'TO'} CLIP NAME: {_line(footage.name(clip))}")
        if file:
            lines.append(f"* SOURCE FILE: {_line(file)}")
        old, old_out = reel, start + length
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def otio(edit: Edit, footage: Footage, title: str = "genenvs") -> dict[str, Any]:
    """An edit as an OpenTimelineIO timeline (what the JSON of an `.otio` file holds).

    One track of pictures and one of sound. A fade is a custom transition whose metadata name it;
    a wipe is `SMPTE_Wipe`'s code 1 in the metadata of a custom one.

    Raises:
        ValueError: an edit that cannot be cut, see `Edit.check`.
    """
    edit.check(footage)
    tracks = []
    for kind in ("Video", "Audio"):
        children = []
        for k in range(len(edit)):
            if int(edit.transition[k]) != CUT:
                children.append(_transition(edit, k))
            children.append(_clip(edit, footage, k))
        tracks.append({"OTIO_SCHEMA": "Track.1", "name": kind, "kind": kind, "children": children})
    return {
        "OTIO_SCHEMA": "Timeline.1",
        "name": title,
        "global_start_time": _time(_HOUR),
        "tracks": {"OTIO_SCHEMA": "Stack.1", "name": "tracks", "children": tracks},
    }


def _clip(edit: Edit, footage: Footage, k: int) -> dict[str, Any]:
    clip = int(edit.clip[k])
    file, offset, frames = footage.source(clip)
    media: dict[str, Any] = {"OTIO_SCHEMA": "MissingReference.1", "name": f"C{clip:04}"}
    if file:
        media = {"OTIO_SCHEMA": "ExternalReference.1", "target_url": Path(file).resolve().as_uri()}
    # The whole file: a transition may show what lies beyond the clip.
    media["available_range"] = _range(0, frames)
    return {
        "OTIO_SCHEMA": "Clip.2",
        "name": footage.name(clip),
        "source_range": _range(offset + int(edit.start[k]), int(edit.length[k])),
        "media_references": {"DEFAULT_MEDIA": media},
        "active_media_reference_key": "DEFAULT_MEDIA",
        "metadata": {"genenvs": {"clip": clip}},
    }


def _transition(edit: Edit, k: int) -> dict[str, Any]:
    name = TRANSITIONS[int(edit.transition[k])]
    return {
        "OTIO_SCHEMA": "Transition.1",
        "name": name,
        "transition_type": "SMPTE_Dissolve" if name == "dissolve" else "Custom_Transition",
        "in_offset": _time(0),
        "out_offset": _time(int(edit.lasts[k])),
        "metadata": {"genenvs": {"transition": name}},
    }


def _time(frame: int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(FPS), "value": float(frame)}


def _range(start: int, count: int) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(start),
        "duration": _time(count),
    }


def write_edl(path: str | Path, edit: Edit, footage: Footage) -> None:
    """Write `edl`, entitled by the file's name; whole or not at all.

    Raises:
        ValueError: another suffix than .edl, or an edit that cannot be cut.
    """
    _write(path, ".edl", edl(edit, footage, Path(path).stem))


def write_otio(path: str | Path, edit: Edit, footage: Footage) -> None:
    """Write `otio`, entitled by the file's name; whole or not at all.

    Raises:
        ValueError: another suffix than .otio, or an edit that cannot be cut.
    """
    _write(path, ".otio", json.dumps(otio(edit, footage, Path(path).stem), indent=1))


def _write(path: str | Path, suffix: str, text: str) -> None:
    if Path(path).suffix.lower() != suffix:
        raise ValueError(f"the name must end in {suffix}; got {Path(path).name!r}")
    with making(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
