import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from genenvs.core.files import cache_folder
from genenvs.video import attributes as shots
from genenvs.video import boundaries, decode, film, user
from genenvs.video.film import Edit
from tests.needs import needs
from tests.video.films import textures, turned, write

pytestmark = [needs("av", extra="video"), needs("scenedetect", extra="video")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENENVS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "footage"
    path.mkdir()
    return path


def shots_of(lengths, seed=0):
    """Pictures that stand still between cuts, with a block that moves: uint8 [T, 36, 64, 3]."""
    pictures = textures(len(lengths), seed=seed).repeat(lengths, 0)
    for k, picture in enumerate(pictures):
        top = 10 * (k // 56 % 3)
        picture[top : top + 10, k % 56 : k % 56 + 8] = 255
    return pictures


def test_a_film_is_cut_into_its_shots(folder):
    heard = 0.4 * np.sin(np.arange(96_000) * 0.2).astype(np.float32)
    heard[40_000:] = 0
    write(folder / "a.mp4", shots_of([40, 30, 26]), sound=heard)
    own = user.load(folder)
    assert [(s.start, s.length) for _, s in own.shots] == [(0, 40), (40, 30), (70, 26)]
    shots.check(own.attributes)
    assert own.length.tolist() == [40, 30, 26] and own.name(1) == "a 2"
    assert own.source(2) == (str(folder / "a.mp4"), 70, 96)
    silent = shots.ATTRIBUTES[shots.SOUND].categories.index("silence")
    assert [int(v) == silent for v in own.attributes[:, shots.SOUND]] == [False, True, True]
    assert np.abs(own.sound(0)[2000:38_000] - heard[2000:38_000]).mean() < 0.02
    assert len(own.sound(0)) == 40_000


def test_pictures_are_those_of_the_frames_that_are_asked_for(folder):
    """By seeking and by reading on alike, in any order."""
    pictures = shots_of([60, 60])
    write(folder / "a.mp4", pictures)
    own = user.load(folder, size=(64, 36))
    clip, frame = torch.tensor([1, 0, 1, 0]), torch.tensor([50, 3, 51, 59])
    for rows in (torch.arange(4), torch.tensor([0]), torch.tensor([1, 2]), torch.tensor([3, 1])):
        found = own.pictures(clip[rows], frame[rows]).astype(float)
        for got, k, n in zip(found, clip[rows].tolist(), frame[rows].tolist(), strict=True):
            differences = np.abs(pictures[60 * k : 60 * k + 60] - got).mean((1, 2, 3))
            assert int(differences.argmin()) == n and differences[n] < 8
    beyond = own.pictures(torch.tensor([0]), torch.tensor([500]))
    assert np.abs(beyond[0] - pictures[59].astype(float)).mean() < 8


def test_a_film_that_is_written_over_is_shown_anew(folder):
    """Pictures and sound are kept in memory, by the content too."""
    heard = 0.4 * np.sin(np.arange(40_000) * 0.2).astype(np.float32)
    for seed, sound in ((0, heard), (1, None)):
        pictures = shots_of([20], seed)
        write(folder / "a.mp4", pictures, sound=sound)
        own = user.load(folder, size=(64, 36))
        shown = own.pictures(torch.zeros(12, dtype=torch.int64), torch.arange(12))  # a block
        assert np.abs(shown.astype(float) - pictures[:12]).mean() < 8
        assert (np.abs(own.sound(0)).max() > 0.2) == (sound is not None)


def test_few_films_are_the_footage_of_every_split_and_hidden_ones_of_none(folder):
    write(folder / "a.mp4", shots_of([20]))
    write(folder / "._b.mp4", shots_of([20], 1))
    (folder / ".trash").mkdir()
    write(folder / ".trash" / "c.mp4", shots_of([20], 2))
    for split in ("train", "test"):
        with pytest.warns(UserWarning, match=r"has 1 film: every split cuts the same footage"):
            assert len(user.load(folder, split).files) == 1


def test_what_was_measured_is_kept_by_content(folder, monkeypatch):
    write(folder / "a.mp4", shots_of([30, 30]))
    first = user.read_file(folder / "a.mp4")
    (kept,) = (cache_folder() / "footage").iterdir()
    assert kept.name.startswith(first.digest)
    renamed = (folder / "a.mp4").rename(folder / "b.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(decode, "frames", None)
        again = user.read_file(renamed)
    assert again.shots == first.shots and again.path == renamed
    kept.write_text("{")  # broken: measured again
    assert user.read_file(renamed).shots == first.shots
    monkeypatch.setitem(boundaries.ADAPTIVE, "adaptive_threshold", 1e6)  # as good as none
    (shot,) = user.read_file(renamed).shots
    assert shot.length == 60 and len(list((cache_folder() / "footage").iterdir())) == 2


def test_without_the_detector_the_extra_is_named_before_a_film_is_decoded(folder, monkeypatch):
    write(folder / "a.mp4", shots_of([30]))
    monkeypatch.setattr(decode, "frames", None)
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(ImportError, match=r"scenedetect .*genenvs\[video\]"):
        user.load(folder)
    assert not (cache_folder() / "footage").exists()


@pytest.mark.parametrize("rate", [10, Fraction(30000, 1001), 50])
def test_any_rate_becomes_24(folder, rate):
    count = int(2 * rate)
    pictures = np.concatenate([textures(1).repeat(count // 2, 0),
                               textures(1, seed=1).repeat(count - count // 2, 0)])  # fmt: skip
    (found,) = user.load(write(folder / "a.mp4", pictures, rate).parent).files
    assert abs(found.frames - 48) <= 1
    assert [abs(s.start - at) <= 1 for s, at in zip(found.shots, (0, 24), strict=True)]


def test_a_changing_rate_keeps_its_times(folder):
    pictures = textures(4, seed=3).repeat([2, 10, 2, 10], 0)
    times = [0, 500, *range(1000, 2000, 100), 2000, 2500, *range(3000, 4000, 100)]
    write(folder / "a.mkv", pictures, times=times)
    frames, _ = decode.frames(folder / "a.mkv", 64, 36)
    assert boundaries.begins(frames) == [0, 24, 48, 72] and 94 <= len(frames) <= 98


def test_a_film_that_was_taken_upright_stands_upright(folder):
    picture = np.zeros((36, 64, 3), np.uint8)
    picture[:, :32] = 255  # left: after a clockwise turn, the top
    turned(write(folder / "a.mp4", picture[None].repeat(24, 0)))
    (pixels,) = user.load(folder).pictures(torch.tensor([0]), torch.tensor([3]))
    columns = pixels.mean((0, 2))
    assert columns[:40].max() < 5 and columns[-40:].max() < 5  # black beside a tall picture
    assert pixels[:30, 54:74].mean() > 240 and pixels[-30:, 54:74].mean() < 15


def test_gif_and_webm_are_read(folder):
    write(folder / "a.gif", shots_of([12, 12]), 10, codec="gif")
    write(folder / "b.webm", shots_of([30]), codec="libvpx")
    own = user.load(folder)
    assert [f.path.name for f in own.files] == ["a.gif", "b.webm"]
    assert len(own.files[0].shots) == 2 and abs(own.files[0].frames - 58) <= 1
    assert (
        not own.sound(0).any() and own.pictures(torch.tensor([1, 0]), torch.zeros(2).long()).any()
    )


def spoilt(folder):
    whole = write(folder / "good.mp4", shots_of([30])).read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mov").write_text("no film at all")
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 2])
    write(folder / "short.mp4", shots_of([2]))
    (folder / "notes.txt").write_text("not meant")


def test_bad_files_spoil_nothing_and_are_told(folder):
    spoilt(folder)
    with pytest.warns(UserWarning) as told:
        own = user.load(folder)
    assert [f.path.name for f in own.files] == ["good.mp4"]
    said = "\n".join(str(w.message) for w in told)
    assert said.count("left out: ") == 4 and "notes" not in said
    reasons = {
        "empty.mp4": "is empty",
        "text.mov": "cannot be read as a film",
        "half.mp4": "cannot be read",
        "short.mp4": "lasts 0.083 s",
    }
    for name, reason in reasons.items():
        assert any(name in line and reason in line for line in said.splitlines()), name


def test_a_folder_without_a_film_is_one_clear_error(folder):
    with pytest.raises(ValueError, match=r"holds no \.mp4, \.mov"):
        user.load(folder)
    (folder / "a.mp4").write_text("nothing")
    with pytest.raises(ValueError, match=r"no file of .* can be used: .*a\.mp4"):
        user.load(folder)
    with pytest.raises(ValueError, match="does not exist"):
        user.load(folder / "b.mp4")
    with pytest.raises(ValueError, match="must end in"):
        user.load(folder.parent / "footage.txt")


def test_sound_without_pictures_is_no_film(folder):
    import av

    with av.open(str(folder / "a.mp4"), "w") as container:
        voice = container.add_stream("aac", rate=24_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 24_000
        container.mux(voice.encode(frame))
        container.mux(voice.encode(None))
    with pytest.raises(ValueError, match=r"a\.mp4 holds no moving pictures"):
        user.load(folder / "a.mp4")


def test_a_film_that_breaks_off_is_read_as_far_as_it_goes(folder):
    path = write(folder / "a.mkv", shots_of([60]))
    path.write_bytes(path.read_bytes()[:-600])
    assert 20 < user.read_file(path).frames <= 60


def test_spoilt_files_are_read_or_named(folder):
    sources = [write(folder / "a.mp4", shots_of([24]), sound=np.zeros(24_000, np.float32)),
               write(folder / "b.gif", shots_of([12]), 10, codec="gif")]  # fmt: skip
    draws, read = np.random.default_rng(0), 0
    for k in range(16):
        source = sources[k % 2]
        data = np.frombuffer(source.read_bytes(), np.uint8).copy()
        data[draws.integers(0, len(data), 12)] = draws.integers(0, 256, 12)
        path = folder / f"spoilt {k}{source.suffix}"
        path.write_bytes(data[: len(data) if k % 3 else draws.integers(1, len(data))].tobytes())
        try:
            own = user.Own((user.read_file(path),))
            assert own.pictures(torch.tensor([0]), torch.tensor([1])).shape == (1, 72, 128, 3)
            read += 1
        except ValueError as error:
            assert path.name in str(error)
    assert 0 < read < 16


def test_splits_share_the_files_out_by_content(folder):
    for k in range(5):
        write(folder / f"{k}.mp4", shots_of([14], seed=k))
    parts = [{f.digest for f in user.load(folder, split).files}
             for split in ("train", "validation", "test")]  # fmt: skip
    assert sum(map(len, parts)) == 5 == len(set.union(*parts)) and all(parts)
    with pytest.raises(ValueError, match="split must be"):
        user.load(folder, "all")
    with pytest.raises(ValueError, match="size must be even"):
        user.load(folder, size=(101, 50))


def test_a_film_is_cut_from_the_users_footage(folder, tmp_path):
    import av

    write(folder / "a.mp4", shots_of([40, 30]))
    own = user.load(folder)
    cut = Edit(*torch.tensor([[1, 5, 20, 0], [0, 0, 25, 1]]).mT.contiguous())
    film.write_mp4(tmp_path / "film.mp4", cut, own)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 45
