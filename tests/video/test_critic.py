import numpy as np
import pytest
import torch

from genenvs.video import attributes as shots
from genenvs.video import critic
from genenvs.video.clips import draw
from genenvs.video.film import Edit
from genenvs.video.footage import Drawn


def test_overlap_of_colours_is_that_of_plain_histograms():
    one, other = torch.rand(3, 3, 9, 16), torch.rand(3, 3, 9, 16) ** 2
    for k in range(3):
        counts = [
            np.histogramdd(p[k].flatten(1).T.numpy(), bins=4, range=[(0, 1)] * 3)[0] / 144
            for p in (one, other)
        ]
        want = np.minimum(*counts).sum()
        assert float(critic.same_colours(one, other)[k]) == pytest.approx(want, abs=1e-5)
    assert critic.same_colours(one, one).tolist() == pytest.approx([1, 1, 1])


def test_a_jump_is_the_same_picture_with_things_moved():
    picture = torch.zeros(1, 3, 20, 20)
    picture[..., 5:15, 2:8] = 1
    moved, other = picture.roll(6, -1), 1 - 0.5 * picture
    assert float(critic.jump(picture, picture)) == 0
    assert float(critic.jump(picture, moved)) == pytest.approx(1)
    assert float(critic.jump(picture, other)) == pytest.approx(0.15**2)  # white is in both


def footage(**said):
    keys = torch.tensor([1, 2, 3, 4])
    words = [{"size": "wide", "angle": "eye-level", "location": place, **said}
             for place in ("street", "street", "country", "shore")]  # fmt: skip
    return Drawn(draw(keys, keys.clamp_min(2), torch.stack([shots.encode(w) for w in words])))


def edit(*events):
    return Edit(*torch.tensor(events).mT.contiguous())


def test_the_critic_tells_a_jump_cut_from_a_cut_and_from_none():
    source = footage(motion="pan", size="close-up")
    none = critic.critic(edit((0, 0, 20, 0), (0, 20, 20, 0)), source)
    jump = critic.critic(edit((0, 0, 8, 0), (0, 40, 8, 0)), source)
    other = critic.critic(edit((0, 0, 20, 0), (2, 0, 20, 0)), source)
    hidden = critic.critic(edit((0, 0, 8, 0), (0, 40, 8, 1)), source)
    assert none["jump"] < 0.5 * jump["jump"] > other["jump"]
    assert hidden["jump"] == pytest.approx(jump["jump"] / 2)
    assert none["motion_break"] < 0.3


def test_motion_that_turns_round_is_a_break():
    wave = torch.sin(torch.arange(80) * 0.5)[None, None, None].expand(1, 3, 36, 80) * 0.3 + 0.5
    left = torch.stack([wave[..., k : k + 64] for k in (0, 1)], 1)
    right = torch.stack([wave[..., k : k + 64] for k in (5, 4)], 1)
    assert float(critic.motion_break(left, left)) == 0
    assert float(critic.motion_break(left, right)) > 0.8


def test_a_film_of_one_shot_has_no_cuts():
    one = critic.critic(edit((0, 0, 20, 0)), footage())
    assert one == {"jump": 0.0, "motion_break": 0.0, "smooth": 1.0}
