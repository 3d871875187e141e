"""The eight attributes of a shot, guessed from what is measured of it.

Rules that can be read, with thresholds that were set on drawn clips, whose attributes are known:
sound and type are told well, motion and location often; number, angle, size little better than by
chance and subject no better (`docs/video.md` has the figures). Who knows better says so.
"""

from genenvs.video import attributes as shots
from genenvs.video.measure import SILENT, Measures

SHAKES = 0.05  # frame heights a second: a hand
PANS, TILTS, ZOOMS = 0.038, 0.012, 0.03  # a second; see `Measures`
TALL = (0.3, 0.6, 0.84, 0.93)  # part of the frame's height, between sizes


def attributes(seen: Measures) -> list[int]:
    """The eight, in their order: ints [8]."""
    words = {
        "size": shots.ATTRIBUTES[shots.SIZE].categories[sum(seen.tall > t for t in TALL)],
        "angle": _angle(seen),
        "motion": _motion(seen),
        "type": _type(seen),
        "subject": _subject(seen),
        "number": ("one", "one", "two", "three", "several")[min(int(seen.groups), 4)],
        "sound": _sound(seen),
        "location": _location(seen),
    }
    return [int(value) for value in shots.encode(words)]


def _angle(seen: Measures) -> str:
    if seen.edge < 0.08:
        return "overhead"  # no horizon
    if seen.horizon < 0.1:
        return "aerial"
    if seen.horizon < 0.3:
        return "high-angle"
    return "eye-level" if seen.horizon < 0.66 else "low-angle"


def _motion(seen: Measures) -> str:
    if seen.shake > SHAKES:
        return "handheld"
    strength = {
        "locked": 1.0,
        "pan": abs(seen.across) / PANS,
        "tilt": abs(seen.down) / TILTS,
        "zoom": abs(seen.zoom) / ZOOMS,
    }
    return max(strength, key=lambda name: strength[name])


def _type(seen: Measures) -> str:
    if seen.corners < 0.03 and seen.middle > 0.1:
        return "point-of-view"
    if seen.corners < 0.4 * seen.middle and seen.side > -0.1:
        return "insert"
    return "over-the-shoulder" if seen.side < -0.17 else "clean"


def _subject(seen: Measures) -> str:
    if seen.skin > 0.03 and seen.tall > 0.5:
        return "human"
    if seen.filled < 0.03 or seen.green > 0.6:
        return "scenery"
    return "vehicle" if seen.action > 0.25 else "object"


def _sound(seen: Measures) -> str:
    if seen.loudness < SILENT:
        return "silence"
    if seen.flatness > 0.012:
        return "ambience"
    return "music" if seen.low > 0.25 else "speech"


def _location(seen: Measures) -> str:
    likely = {
        "country": 1.6 * seen.green,
        "shore": 2.0 * seen.sand + 0.4 * seen.blue,
        "street": 0.9 * seen.grey,
        "interior": 0.3 + seen.warmth,
    }
    return max(likely, key=lambda name: likely[name])
