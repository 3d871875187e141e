"""What a dance pays and how it is measured."""

import math

import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term

TERMS = {
    "beats": Term(
        1.0,
        "Change of `beat_score`: by default what moments are worth is balanced, so that always"
        " dancing a beat and never doing so both come to 0.",
        change_of="beat_score",
    ),
    "continuity": Term(
        1.0, "Minus the distance in metres by which a code misses where the one before ends, / T."
    ),
    "halves": Term(
        0.5,
        "Minus the distance in metres of both halves, together, from the nearest moment of the"
        " clips, / T.",
    ),
}

METRICS = {
    "beat_score": Metric(
        "What the beats up to now pay, if the dance ended here; by default, at the end, the share"
        " of codes with a beat of music that have one of the dance, less that share of the others.",
        "step",
        better="higher",
        range=(-math.inf, math.inf),  # `bailando` pays 5 a code, however many there are
    ),
    "f1": Metric(
        "Harmonic mean of both directions of beat alignment, 0 .. 1; a distance of d frames counts"
        " exp(-d^2 / 18).",
        better="higher",
        range=(0.0, 1.0),
    ),
    "music_beats_met": Metric(
        "Mean over beats of music of how near a beat of the dance is: Bailando's direction.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "published_alignment": Metric(
        "The same with every minimum of the speed taken for a beat, as Bailando does: trembling on"
        " the spot scores high.",
        range=(0.0, 1.0),
    ),
    "dance_beats_meant": Metric(
        "The other direction: mean over beats of the dance of how near one of the music is.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "balanced_accuracy": Metric(
        "Of codes with and without a beat of music, the mean share in which the dance agrees;"
        " 0.5 is chance.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "dance_beats": Metric("Beats of the dance, a count.", range=(0.0, math.inf)),
    "join_gap": Metric(
        "Mean distance by which codes miss each other, metres.",
        better="lower",
        range=(0.0, math.inf),
    ),
    "apart": Metric(
        "Mean distance of both halves from the clips, metres.",
        better="lower",
        range=(0.0, math.inf),
    ),
    "likelihood": Metric(
        "Mean log-likelihood of a code, nats, under a prior of the same clips at 0.9 and 1.1 times"
        " their speed: how like those clips a dance is, not how like others.",
        "judge",
        gold=True,
        better="higher",
        range=(-math.inf, 0.0),  # codes are discrete
    ),
    "jerk": Metric(
        "Mean size of the joints' jerk, m/s^3.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "join_jerk": Metric(
        "The same where codes join.", "judge", gold=True, better="lower", range=(0.0, math.inf)
    ),
    "penetration": Metric(
        "How deep solids of the body are in the floor, summed over them, mean over frames, metres.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "skate": Metric(
        "How far feet that stand on the floor slide, metres a second. Feet that fly stand nowhere:"
        " flailing has the least.",
        "judge",
        gold=True,
        range=(0.0, math.inf),
    ),
    "repetition": Metric(
        "Share of the codes' steps, from one pair to the next, that were danced before.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
    "fid_k": Metric(
        "Frechet distance of kinetic features of two seconds to those of the clips, whose"
        " covariance is shrunk: 34 s are a tiny reference, good for comparing alone.",
        "set",
        better="lower",
        range=(0.0, math.inf),
    ),
    "fid_g": Metric(
        "The same of geometric features.", "set", better="lower", range=(0.0, math.inf)
    ),
    "div_k": Metric(
        "Mean distance of two dances in kinetic features.",
        "set",
        better="higher",
        range=(0.0, math.inf),
    ),
    "div_g": Metric(
        "The same in geometric features.", "set", better="higher", range=(0.0, math.inf)
    ),
}

# m/s by which a body is faster 8 frames before and after a beat. The published definition asks for
# none: trembling on the spot then is the best of dances. At 0.1 a quarter of the clips' are left.
RISE = {"balanced": 0.1, "bailando": 0.0, "bailando_paper": 0.0}
# Bailando's reward of a code is +5 or -5 (`actor_critic.py`: (beat * dance_beat - 0.5) * 10).
BAILANDO = 5.0
PAYS = tuple(RISE)


def pay(music: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """What each code of a dance pays: `base` always, and `gain` more if it has a beat.

    Args:
        music: bool [B, T], which codes have a beat of music.
        kind: `balanced`: 1 / n for a beat on one of n codes with a beat of music, -1 / m on one of
            the m others, nothing without music; `bailando`: 5 where both have a beat, else -5;
            `bailando_paper`: 5 where the music has none, whatever the dance does.

    Returns:
        base and gain, float32 [B, T] each.
    """
    on = music.float()
    if kind == "balanced":
        with_, without = on.sum(1, keepdim=True), (1 - on).sum(1, keepdim=True)
        gain = on / with_.clamp(min=1) - (1 - on) / without.clamp(min=1)
        return torch.zeros_like(on), gain * (with_ > 0)
    base = -BAILANDO * on + (BAILANDO if kind == "bailando_paper" else -BAILANDO) * (1 - on)
    return base, 2 * BAILANDO * on


def balanced_accuracy(music: Tensor, dance: Tensor) -> Tensor:
    """Mean share of agreement with and without a beat of music: bool [B, T] twice -> [B]."""
    gain = pay(music, "balanced")[1]
    return 0.5 + 0.5 * (gain * dance).sum(1)


def repetition(codes: Tensor) -> Tensor:
    """Share of steps from one pair of codes to the next that came before: [B, T, 2] -> [B].

    0 of a single code.
    """
    words = torch.cat([codes[:, :-1], codes[:, 1:]], 2)  # [B, T - 1, 4]
    same = (words[:, :, None] == words[:, None]).all(-1)
    again = same.tril(-1).any(-1).float()
    return again.sum(1) / max(1, again.shape[1])
