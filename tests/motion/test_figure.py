"""Claims about the picture of the humanoid and about its films."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from genenvs.images.solids import PAPER, Solid
from genenvs.motion import figure, quaternions
from tests.motion import samples
from tests.needs import import_or_skip, needs

STANDING = torch.tensor(quaternions.IDENTITY).repeat(15, 1)


def standing(height: float = 0.8814) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([0.0, 0, height]), STANDING


def blue_and_red(shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the left and of the right side."""
    r, b = shown[..., 0].astype(int), shown[..., 2].astype(int)
    return b - r > 40, r - b > 60


def test_solids_are_closed_and_no_larger_than_the_box_they_stand_for():
    for half, radius in (((0, 0, 0.2), 0.05), ((0.1, 0.05, 0.03), 0.02), ((0, 0, 0), 0.1)):
        triangles = figure._rounded(np.array(half), radius)
        reach = np.array(half) + radius
        assert (abs(triangles) <= reach + 1e-12).all()
        assert abs(triangles).max((0, 1)) == pytest.approx(reach, rel=0.05)
        edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)]).round(9) + 0.0
        seen = {tuple(map(tuple, edge)) for edge in edges}
        assert all((b, a) in seen for a, b in seen)  # each edge is gone along both ways


def test_the_left_side_is_blue_and_on_the_left_of_one_who_looks_along():
    behind = figure.picture(*standing(), 120, azimuth=180)
    blue, red = blue_and_red(behind)
    assert blue.sum() > 100 and red.sum() > 100
    assert np.nonzero(blue)[1].mean() < 60 < np.nonzero(red)[1].mean()
    front = figure.picture(*standing(), 120, azimuth=0)
    blue, red = blue_and_red(front)
    assert np.nonzero(red)[1].mean() < 60 < np.nonzero(blue)[1].mean()


def test_a_jump_lifts_the_figure_and_not_its_shadow():
    low, high = (figure.picture(*standing(h), 120) for h in (0.8814, 1.3))
    (blue, _), (above, _) = blue_and_red(low), blue_and_red(high)
    assert np.nonzero(above)[0].mean() < np.nonzero(blue)[0].mean() - 10


def test_the_floor_stays_where_it_is_when_the_camera_moves():
    """A whole tile's pair to the side, everything but the figure looks the same."""
    here = figure.picture(*standing(9.0), 90, centre=(0.0, 0.0))
    there = figure.picture(*standing(9.0), 90, centre=(1.0, 0.0))
    half = figure.picture(*standing(9.0), 90, centre=(0.5, 0.0))
    assert abs(here.astype(int) - there).max() <= 2 and abs(here.astype(int) - half).max() > 5
    assert (here[0] == np.array(PAPER)).all()  # far away there is none


def test_furniture_is_seen():
    corners = np.array([[[-0.6, -0.6, 0.01], [0.6, -0.6, 0.01], [0, 0.6, 0.01]]])
    green = Solid(corners, (0, 255, 0))
    shown = figure.picture(*standing(), 90, scene=[green]).astype(int)
    assert (shown[..., 1] - shown[..., 0] > 60).sum() > 100


def test_a_gif_has_every_frame(tmp_path):
    root, rotations = (x[0] for x in samples.motion(1, 1, 5))
    figure.film(tmp_path / "new" / "a.gif", root, rotations, 20.0, 64)
    with Image.open(tmp_path / "new" / "a.gif") as film:
        assert film.n_frames == 5 and film.size == (128, 128)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.gif"]


@needs("av", extra="video")
def test_an_mp4_has_every_frame_and_its_rate(tmp_path):
    av = import_or_skip("av", extra="video")
    root, rotations = (x[0] for x in samples.motion(1, 1, 6))
    figure.film(tmp_path / "a.mp4", root, rotations, 30.0, 128)
    with av.open(str(tmp_path / "a.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 30
    shown = figure.picture(root[0], rotations[0], 128).astype(int)
    assert len(frames) == 6 and abs(frames[0].astype(int) - shown).mean() < 8


def test_what_cannot_be_filmed_is_refused(tmp_path):
    root, rotations = (x[0] for x in samples.motion(1, 1, 3))
    with pytest.raises(ValueError, match=r"a\.avi must end in one of \.gif, \.mp4"):
        figure.film(tmp_path / "a.avi", root, rotations, 30)
    with pytest.raises(ValueError, match="at least one; got 0 and 3"):
        figure.film(tmp_path / "a.gif", root[:0], rotations, 30)
    assert not list(tmp_path.iterdir())
