import numpy as np
import torch

from genenvs.video import attributes as shots
from genenvs.video import sound
from genenvs.video.clips import HEIGHT, LONGEST, SHORTEST, WIDTH, draw
from genenvs.video.footage import Drawn
from genenvs.video.render import camera, render
from genenvs.video.subjects import FROM_ABOVE, REACH, UPRIGHT


def clip(**said):
    words = {"size": "medium", "angle": "eye-level", **said}
    return draw(torch.tensor([7]), attributes=shots.encode(words)[None])


def film(clips, count=24):
    rows = torch.zeros(count, dtype=torch.int64)
    return render(clips[rows], torch.arange(count))


def test_a_draw_is_its_key_alone_and_scenes_share_their_colours():
    keys, scenes = torch.arange(6), torch.tensor([1, 1, 1, 2, 2, 2])
    clips, again = draw(keys, scenes), draw(keys[3:4], scenes[3:4])
    for name in ("attributes", "length", "look"):
        assert torch.equal(getattr(clips, name)[3:4], getattr(again, name))
    shots.check(clips.attributes)
    assert bool(((clips.length >= SHORTEST) & (clips.length <= LONGEST)).all())
    assert torch.equal(clips.look[0, 16:], clips.look[2, 16:])
    assert not torch.equal(clips.look[0, 16:], clips.look[3, 16:])
    assert not torch.equal(clips.look[0, :16], clips.look[1, :16])
    assert float(clips.exposure.min()) >= 0.55 and float(clips.exposure.max()) <= 1.25


def test_a_row_of_a_batch_is_drawn_as_it_is_alone():
    clips = draw(torch.arange(24))
    frame = torch.arange(24) * 9 - 3
    whole = render(clips, frame)
    assert whole.shape == (24, 3, HEIGHT, WIDTH) and whole.dtype == torch.float32
    assert float(whole.min()) >= 0 and float(whole.max()) <= 1
    for k in range(24):
        alone = render(clips[torch.tensor([k])], frame[k : k + 1])
        assert torch.allclose(whole[k], alone[0], atol=1e-5), k


def test_every_category_of_every_attribute_is_seen_or_heard():
    """Of two clips that differ in one attribute alone, pixels or samples do."""
    for index, attribute in enumerate(shots.ATTRIBUTES):
        seen = []
        for value in range(len(attribute)):
            row = shots.encode({"size": "medium", "angle": "eye-level", "number": "two"})
            row[index] = value
            one = draw(torch.tensor([7]), attributes=row[None])
            if index == shots.SOUND:
                seen.append(torch.from_numpy(sound.of_clip(one, 0)))
            else:
                seen.append(render(one[torch.zeros(2, dtype=torch.int64)], torch.tensor([3, 40])))
        for a in range(len(seen)):
            for b in range(a):
                assert float((seen[a] - seen[b]).abs().mean()) > 2e-3, (attribute.name, a, b)


def test_the_camera_does_what_the_motion_says():
    row = torch.zeros(40, dtype=torch.int64)
    ways = {}
    for motion in shots.ATTRIBUTES[shots.MOTION].categories:
        x, y, zoom = camera(clip(motion=motion)[row], torch.arange(40))
        ways[motion] = [float(v.max() - v.min()) for v in (x, y, zoom)]
    assert ways["locked"] == [0, 0, 0]
    assert ways["pan"][0] > 0.2 and ways["pan"][1:] == [0, 0]
    assert ways["tilt"][1] > 0.1 and ways["tilt"][0] == 0
    assert ways["zoom"][2] > 0.1 and ways["zoom"][:2] == [0, 0]
    assert min(ways["handheld"][:2]) > 0.02


def test_beyond_its_end_a_clip_stands():
    one = clip(motion="pan", subject="vehicle")
    last = int(one.length[0]) - 1
    rows = torch.zeros(3, dtype=torch.int64)
    images = render(one[rows], torch.tensor([last, last + 1, last + 500]))
    assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])


def test_things_stay_within_their_reach():
    """What is cut off beyond it would be seen."""
    grid = torch.linspace(-3, 3, 121)
    x, y = grid[None, None, :], grid[None, :, None]
    outside = (x.abs() > REACH) | (y.abs() > REACH)
    for parts in (*UPRIGHT, *FROM_ABOVE):
        for swing in (-1.0, 1.0):
            shade = torch.full((1, 3, 1, 1), 0.5)
            for distance, _ in parts(x, y, torch.full((1, 1, 1), swing), shade):
                assert not bool(((distance < 0.05) & outside).any()), parts


def test_sounds_are_as_long_as_their_clips_and_unlike():
    clips = draw(torch.arange(4))
    clips.attributes[:, shots.SOUND] = torch.arange(4)
    heard = [sound.of_clip(clips, k) for k in range(4)]
    for k, samples in enumerate(heard):
        assert samples.dtype == np.float32 and len(samples) == int(clips.length[k]) * 1000
        assert np.abs(samples).max() <= 1
        assert np.array_equal(samples, sound.of_clip(clips, k))
    loud = [float(np.sqrt(np.mean(samples**2))) for samples in heard]
    assert loud[0] == 0 and min(loud[1:]) > 0.01


def test_drawn_clips_are_footage():
    clips = draw(torch.arange(3))
    footage = Drawn(clips)
    pictures = footage.pictures(torch.tensor([2, 0]), torch.tensor([5, 6]))
    assert pictures.shape == (2, 72, 128, 3) and pictures.dtype == np.uint8
    want = render(clips[torch.tensor([2, 0])], torch.tensor([5, 6]))
    assert np.abs(pictures / 255 - want.permute(0, 2, 3, 1).numpy()).max() <= 0.5 / 255 + 1e-6
    assert footage.source(1) == ("", 0, int(footage.length[1])) and footage.name(1).startswith(
        "clip 1: "
    )
