import json
import re

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genenvs.video import film, lists
from genenvs.video.film import CUT, DISSOLVE, FADE, LASTS, WIPE, Edit
from genenvs.video.storyboard import nothing, storyboard
from tests.needs import import_or_skip, needs

LENGTHS = (40, 60, 25, 90)


class Flat:
    """Clips of one colour each, whose red says the frame; a tone each, of its own loudness."""

    size = (32, 18)
    length = torch.tensor(LENGTHS)
    attributes = torch.zeros(4, 8, dtype=torch.int64)

    def pictures(self, clip, frame):
        result = np.zeros((len(clip), 18, 32, 3), np.uint8)
        last = torch.minimum(frame, self.length[clip] - 1)
        result[..., 0] = last.numpy()[:, None, None]
        result[..., 1] = (60 * clip.numpy() + 40)[:, None, None]
        return result

    def sound(self, clip):
        return np.full(LENGTHS[clip] * 1000, 0.2 * (clip + 1), np.float32)

    def name(self, clip):
        return f"colour {clip}"

    def source(self, clip):
        return ("", 0, LENGTHS[clip]) if clip else ("/films/a b.mov", 100, 500)


def edit(*events):
    return Edit(*torch.tensor(events).mT.contiguous())


@st.composite
def edits(draw):
    events = []
    for _ in range(draw(st.integers(1, 5))):
        clip = draw(st.integers(0, 3))
        start = draw(st.integers(0, LENGTHS[clip] - 1))
        length = draw(st.integers(1, LENGTHS[clip] - start))
        events.append((clip, start, length, draw(st.integers(0, 3))))
    return edit(*events)


def frame_of(clip, frame):
    return np.array([min(frame, LENGTHS[clip] - 1), 60 * clip + 40, 0], float)


def plainly(cut):
    """The film frame by frame, each [H, W, 3]."""
    black = np.zeros(3)
    for k in range(len(cut)):
        clip, start, length, kind = (int(v[k]) for v in vars(cut).values())
        for n in range(length):
            new = np.broadcast_to(frame_of(clip, start + n), (18, 32, 3))
            lasts = min(LASTS, length) if kind != CUT else 0
            if n < lasts:
                old = black
                if k:
                    before = int(cut.clip[k - 1])
                    old = frame_of(before, int(cut.start[k - 1] + cut.length[k - 1]) + n)
                done = (n + 1) / (lasts + 1)
                old = np.broadcast_to(old, new.shape)
                if kind == DISSOLVE:
                    new = (1 - done) * old + done * new
                elif kind == FADE:
                    new = old * (1 - 2 * done) if done < 0.5 else new * (2 * done - 1)
                else:
                    new = np.where((np.arange(32)[:, None] + 0.5) / 32 < done, new, old)
            yield new


@settings(max_examples=25, deadline=None)
@given(edits())
def test_frames_and_sound_are_those_of_the_edit(cut):
    found = np.concatenate(list(film.frames(cut, Flat())))
    want = np.stack(list(plainly(cut)))
    assert found.dtype == np.uint8 and len(found) == cut.frames
    assert np.abs(found - want).max() <= 0.51
    heard = film.sound(cut, Flat())
    assert heard.shape == (cut.frames * 1000,) and np.abs(heard).max() <= 1
    for k in range(len(cut)):  # after the transition, before the next splice, a clip is alone
        begin = int(cut.begins[k] + cut.lasts[k]) * 1000 + 200
        end = int(cut.begins[k] + cut.length[k]) * 1000
        assert np.allclose(heard[begin:end], 0.2 * (int(cut.clip[k]) + 1), atol=1e-3)


CUT_FILM = ((0, 5, 30, CUT), (3, 0, 20, CUT), (1, 10, 40, DISSOLVE), (2, 0, 13, WIPE),
            (0, 0, 24, FADE))  # fmt: skip


@needs("av", extra="video")
def test_a_written_film_has_its_frames_its_cuts_and_its_sound(tmp_path):
    import av

    cut, path = edit(*CUT_FILM), tmp_path / "deep" / "film.mp4"
    film.write_mp4(path, cut, Flat())
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 24
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    want = np.stack(list(plainly(cut)))
    assert len(decoded) == cut.frames == 127 and decoded[0].shape == (18, 32, 3)
    got = np.stack(decoded).astype(float)
    assert np.abs(got - want).mean() < 3
    green = got[..., 1].mean((1, 2))
    assert np.flatnonzero(np.abs(np.diff(green)) > 90).tolist() == [29]  # and where the edit put it
    assert abs(green[70] - 100) < 4 and abs(green[91] - 160) < 90
    with av.open(str(path)) as container:
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert cut.frames * 1000 <= len(samples) < cut.frames * 1000 + 2048
    assert [p.name for p in path.parent.iterdir()] == ["film.mp4"]


class Coded(Flat):
    """Clips whose pictures are 16 black and white fields: clip and frame as bits."""

    def pictures(self, clip, frame):
        last = torch.minimum(frame, self.length[clip] - 1)
        bits = (((clip << 8) | last).numpy()[:, None] >> np.arange(16)) & 1
        fields = np.repeat(np.repeat(bits.reshape(-1, 2, 8), 9, 1), 4, 2)  # [F, 18, 32]
        return np.repeat(255 * fields[..., None].astype(np.uint8), 3, 3)

    @staticmethod
    def read(picture):
        """(clip, frame) of a picture [18, 32, 3]."""
        fields = picture.astype(float).mean(2).reshape(2, 9, 8, 4).mean((1, 3)).flatten()
        code = int(((fields > 127) << np.arange(16)).sum())
        return code >> 8, code & 255


@needs("av", extra="video")
def test_every_frame_of_a_written_film_is_the_one_that_the_edit_names(tmp_path):
    import av

    cut = edit(*CUT_FILM, (3, 60, 9, CUT), (3, 20, 11, CUT), (2, 5, 1, CUT), (2, 6, 2, CUT))
    film.write_mp4(tmp_path / "film.mp4", cut, Coded())
    with av.open(str(tmp_path / "film.mp4")) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    want = [
        (n, (int(cut.clip[k]), int(cut.start[k]) + n - int(cut.begins[k])))
        for k in range(len(cut))
        for n in range(int(cut.begins[k] + cut.lasts[k]), int(cut.begins[k] + cut.length[k]))
    ]
    assert len(decoded) == cut.frames and len(want) > 100
    assert [(n, Coded.read(decoded[n])) for n, _ in want] == want


@pytest.mark.parametrize(
    "events, said",
    [
        ([(4, 0, 5, 0)], "event 0 has an unknown clip"),
        ([(0, 0, 5, 0), (0, 0, 5, 4)], "event 1 has an unknown transition"),
        ([(0, 0, 0, 0)], "event 0 has no length"),
        ([(0, 30, 11, 0)], r"event 0 takes frames 30 .. 40 of a clip of 40"),
        ([(0, -1, 5, 0)], "event 0 takes frames -1"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_leaves_no_file(tmp_path, events, said):
    with pytest.raises(ValueError, match=said):
        film.write_mp4(tmp_path / "film.mp4", edit(*events), Flat())
    assert not list(tmp_path.iterdir())


def test_other_mistakes_are_told():
    with pytest.raises(ValueError, match="at least one event"):
        film.sound(nothing(), Flat())
    with pytest.raises(ValueError, match=r"length must be int64 \[1\]; got torch.float32"):
        list(film.frames(Edit(*torch.zeros(2, 1).long(), torch.ones(1), torch.zeros(1).long()), 0))
    with pytest.raises(ValueError, match=r"end in \.mp4"):
        film.write_mp4("film.avi", edit((0, 0, 5, 0)), Flat())
    with pytest.raises(ValueError, match=r"end in \.edl"):
        lists.write_edl("film.txt", edit((0, 0, 5, 0)), Flat())


def frames_of(timecode):
    hours, minutes, seconds, rest = map(int, timecode.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * 24 + rest


@given(edits())
def test_the_events_of_a_cutting_list_cover_the_film(cut):
    at, lines = 0, lists.edl(cut, Flat(), "a\nb").splitlines()
    assert lines[:2] == ["TITLE: a b", "FCM: NON-DROP FRAME"]
    numbers = []
    for line in lines:
        if not re.match(r"\d{3} ", line):
            continue
        number, reel, channels, kind = line.split()[:4]
        source_in, source_out, record_in, record_out = map(frames_of, line.split()[-4:])
        assert channels == "B" and source_out - source_in == record_out - record_in
        if not numbers and record_in == 86400 - 1:  # a black frame before a transition
            assert (reel, kind, record_out) == ("BL", "C", 86400) and cut.transition[0] != CUT
            record_in, at = record_out, 0
        assert record_in == 86400 + at and kind in ("C", "D", "W001")
        if kind != "C":
            assert 1 <= int(line.split()[4]) <= min(LASTS, record_out - record_in)
        at = record_out - 86400
        numbers.append((int(number), reel))
    assert at == cut.frames
    assert sorted({n for n, _ in numbers}) == list(range(1, numbers[-1][0] + 1))
    assert numbers[-1][1] == f"C{int(cut.clip[-1]):04}"


def test_a_cutting_list_by_hand(tmp_path):
    lists.write_edl(tmp_path / "f.edl", edit((0, 5, 30, CUT), (1, 10, 40, DISSOLVE)), Flat())
    assert (tmp_path / "f.edl").read_text().splitlines() == [
        "TITLE: f",
        "FCM: NON-DROP FRAME",
        "",
        "001  C0000    B     C        00:00:04:09 00:00:05:15 01:00:00:00 01:00:01:06",
        "* FROM CLIP NAME: colour 0",
        "* SOURCE FILE: /films/a b.mov",
        "002  C0000    B     C        00:00:05:15 00:00:05:15 01:00:01:06 01:00:01:06",
        "002  C0001    B     D    012 00:00:00:10 00:00:02:02 01:00:01:06 01:00:02:22",
        "* TO CLIP NAME: colour 1",
    ]


def test_a_timeline_opens_in_opentimelineio(tmp_path):
    otio = import_or_skip("opentimelineio", extra="otio")
    cut, path = edit(*CUT_FILM), tmp_path / "film.otio"
    lists.write_otio(path, cut, Flat())
    timeline = otio.adapters.read_from_file(str(path))
    assert timeline.name == "film" and timeline.duration().to_frames() == cut.frames
    assert [track.kind for track in timeline.tracks] == ["Video", "Audio"]
    for track in timeline.tracks:
        clips = list(track.find_clips())
        assert [c.range_in_parent().start_time.to_frames() for c in clips] == cut.begins.tolist()
        assert [c.source_range.duration.to_frames() for c in clips] == cut.length.tolist()
        assert clips[0].source_range.start_time.to_frames() == 105
        assert clips[0].media_reference.target_url == "file:///films/a%20b.mov"
        whole = clips[0].media_reference.available_range  # of the file, not of the clip in it
        assert (whole.start_time.to_frames(), whole.duration.to_frames()) == (0, 500)
        between = [t for t in track if isinstance(t, otio.schema.Transition)]
        assert [t.name for t in between] == ["dissolve", "wipe", "fade"]
        assert all(t.out_offset.to_frames() == LASTS for t in between)
    assert json.loads(path.read_text())["OTIO_SCHEMA"] == "Timeline.1"
    lists.write_otio(path, edit((1, 0, 20, DISSOLVE), (0, 0, 9, CUT)), Flat())  # out of black
    assert otio.adapters.read_from_file(str(path)).duration().to_frames() == 29


def test_a_storyboard_shows_every_shot():
    cut = edit(*CUT_FILM, *CUT_FILM)
    picture = storyboard(cut, Flat(), "caption")
    assert picture.dtype == np.uint8 and picture.shape[1] == 852
    for k in range(10):
        spot = picture[12 + 94 * (k // 6) + 36, 12 + 140 * (k % 6) + 64]
        want = frame_of(int(cut.clip[k]), int(cut.start[k] + cut.length[k] // 2))
        assert spot.tolist() == want.astype(int).tolist(), k
    assert storyboard(nothing(), Flat()).shape[1] == 852
