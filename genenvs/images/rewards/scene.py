"""Rewards of captioned scenes: what the parser reads, and a differentiable one for colour alone."""

from torch import Tensor
from torch.nn import functional

from genenvs.images.rewards.reward import Context, Reward
from genenvs.images.scenes import parser
from genenvs.images.scenes.grammar import COLOURS

VIVID = 0.6  # the difference of channels at which a colour counts in full; things have as much
SHARPNESS = 10.0  # of the choice among colours; neighbours on the wheel are 0.5 apart in cosine


def scene() -> Reward:
    """The share of the caption's requirements that the parser finds met, in [0, 1]."""
    return Reward("scene", _scene, range=(0.0, 1.0), needs=("request",))


def _scene(images: Tensor, context: Context) -> Tensor:
    return parser.read(images, context["request"]).score


def scene_correct() -> Reward:
    """1 where the parser finds all that the caption asks for, else 0."""
    return Reward("scene_correct", _scene_correct, range=(0.0, 1.0), needs=("request",))


def _scene_correct(images: Tensor, context: Context) -> Tensor:
    return parser.read(images, context["request"]).correct.float()


def colour() -> Reward:
    """How far the picture is filled with the colours of the caption (`colour_share`), in [0, 1]."""
    return Reward("colour", _colour, differentiable=True, range=(0.0, 1.0), needs=("request",))


def _colour(images: Tensor, context: Context) -> Tensor:
    request = context["request"]
    share = colour_share(images).gather(1, request.colour)  # [B, 2]
    asked = (request.count > 0).to(share.dtype)
    groups = asked.sum(1, keepdim=True).clamp_min(1)
    # Each of G groups may fill its G-th part; more of one colour does not make up for another.
    return ((share * groups).clamp_max(1) * asked / groups).sum(1)


def colour_share(images: Tensor) -> Tensor:
    """The share of a picture that is of each colour, by hue, softly.

    A pixel belongs to colours by a softmax over the cosines between its hue and theirs, times how
    vivid it is (the difference of its largest and smallest channel, in full from 0.6).

    Args:
        images: float [B, 3, H, W] in [0, 1].

    Returns:
        [B, 6] in the order of `COLOURS`, non-negative, of sum at most 1.
    """
    palette = images.new_tensor(list(COLOURS.values()))
    direction = functional.normalize(palette - palette.mean(1, keepdim=True), dim=1)
    chroma = images - images.mean(1, keepdim=True)
    length = (chroma.square().sum(1, keepdim=True) + 0.05**2).sqrt()  # grey has no hue
    cosine = direction @ (chroma / length).flatten(2)  # [B, 6, H * W]
    vivid = ((images.amax(1) - images.amin(1)) / VIVID).clamp_max(1)
    total = ((SHARPNESS * cosine).softmax(1) @ vivid.flatten(1)[..., None])[..., 0]
    return total / vivid[0].numel()
