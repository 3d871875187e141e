"""Train the `sprites` generators, stage by stage, and put them where they ship.

    python -m genenvs.generators.training.sprites [vae first second ...] [--work runs/sprites]

`tuned` is the model at its best; `base`, from which reinforcement learning starts, is the same
after some more steps in which a share of the captions belongs to other scenes. Stages read what the
ones before left in the work folder. One that was broken off goes on from its last checkpoint. The
result depends on seed, number of threads, library versions and, by its random numbers, on where it
was broken off.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from genenvs.core.files import making, sha256
from genenvs.generators.store import WEIGHTS, seal, write_json
from genenvs.generators.training.sprites import diffusion, flow, latents, learn, vae, words
from genenvs.generators.training.sprites.loop import Plan

# What was shipped is what these made. The first two stages came before the exercise in reading.
PLANS = {
    "vae": Plan(steps=4_000, batch=48, learning_rate=2e-3, threads=1),
    "first": Plan(steps=16_000, batch=96, learning_rate=1.5e-3, threads=1, stop=11_000),
    "second": Plan(steps=12_000, batch=96, learning_rate=1.2e-3, threads=1, seed=1, stop=9_750),
    "tuned": Plan(steps=6_000, batch=96, learning_rate=1.2e-3, threads=1, seed=1, stop=4_500),
    "base": Plan(steps=600, batch=96, learning_rate=4e-4, threads=1, seed=2),
    "flow-first": Plan(steps=48_000, batch=64, learning_rate=1.5e-3, threads=1, stop=30_000),
    "flow-tuned": Plan(steps=40_000, batch=64, learning_rate=1.5e-3, threads=1, seed=1),
    "flow": Plan(steps=600, batch=64, learning_rate=4e-4, threads=1, seed=2),
}
BEFORE = {  # whose weights a stage begins with
    "second": "first",
    "tuned": "second",
    "base": "tuned",
    "flow-tuned": "flow-first",
    "flow": "flow-tuned",
}
FLOWS = ("flow-first", "flow-tuned", "flow")
TEACHER, GUIDANCE, ANSWERS = "tuned", 3.0, 262_144  # of the flow
SCENES = 65_536
# Of the captions, in what reinforcement learning starts from.
SHUFFLED = {"first": 0.2, "base": 0.15, "flow-first": 0.2, "flow": 0.3}
EXERCISE = {"tuned": 500}
SHIFT = {"tuned": 2.0, "base": 2.0}
WATCHED = {"plain": (10, 1.0), "guided": (20, 3.0)}
NAMES = {"base": "sprites", "tuned": "sprites-tuned", "flow": "sprites-flow"}


def load_vae(work: Path) -> Any:
    """The autoencoder of the first stage."""
    from diffusers import AutoencoderKL

    made = AutoencoderKL.from_pretrained(work / "vae").eval().requires_grad_(False)
    return made.to(memory_format=torch.channels_last)


def stages_before(stage: str) -> list[str]:
    """Whose weights it goes on from, in turn."""
    return [BEFORE[stage], *stages_before(BEFORE[stage])] if stage in BEFORE else []


def run(stage: str, plan: Plan, work: Path, progress: bool) -> None:
    """One stage, from what the ones before left in the work folder."""
    from transformers import CLIPTokenizer

    if stage == "vae":
        made, record = vae.train(plan, 40_000, progress)
        made.save_pretrained(work / "vae")
        write_json(work / "vae.json", record)
        return
    if not (work / "tokenizer").exists():
        words.write(work / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    encoder = load_vae(work)
    weights = work / "vae" / "diffusion_pytorch_model.safetensors"
    torch.manual_seed(plan.seed)
    pool = work / f"pool-{plan.seed}-{sha256(weights)[:8]}.safetensors"
    checkpoint = work / f"{stage}-checkpoint.safetensors"
    shuffled = SHUFFLED.get(stage, 0.0)
    model: Any = diffusion.Diffusion(tokenizer)
    if stage in FLOWS:
        taught = work / f"{TEACHER}.safetensors"
        model.eval().load_state_dict(load_file(taught))
        table = latents.tokens(tokenizer)
        kept = work / f"answers-{ANSWERS}-{GUIDANCE}-{sha256(taught)[:8]}.safetensors"
        if not kept.exists():
            pool = work / f"pool-0-{sha256(weights)[:8]}.safetensors"
            scenes = latents.pool(encoder, SCENES, 0, pool, progress)
            known = flow.answers(model, *scenes, table, ANSWERS, GUIDANCE, 0, progress)
            with making(kept) as temporary:
                save_file(known, temporary)
        learner = flow.Flow(tokenizer, model.text)
        if stage in BEFORE:
            learner.load_state_dict(load_file(work / f"{BEFORE[stage]}.safetensors"))
        else:
            flow.standardise(learner, table)
        averaged, record = flow.train(
            learner, encoder, load_file(kept), table, plan, shuffled,
            {"plain": WATCHED["plain"]}, checkpoint, progress,
        )  # fmt: skip
    else:
        if stage in BEFORE:
            earlier = load_file(work / f"{BEFORE[stage]}.safetensors")
            model.load_state_dict(earlier, strict=False)
        watched = "guided" if stage in ("second", "tuned") else "plain"
        averaged, record = learn.train(
            model, encoder, tokenizer, plan, SCENES, shuffled, SHIFT.get(stage, 1.0),
            EXERCISE.get(stage, 0), {watched: WATCHED[watched]}, pool, checkpoint, progress,
        )  # fmt: skip
    with making(work / f"{stage}.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in averaged.state_dict().items()}, temporary)
    write_json(work / f"{stage}.json", record)
    if stage not in NAMES:
        return
    name = NAMES[stage]
    save = flow.save if stage in FLOWS else diffusion.save
    files = save(WEIGHTS / name, averaged, encoder, tokenizer)
    table = latents.tokens(tokenizer)
    found = {}
    for each, how in WATCHED.items():
        mean, kinds = latents.accuracy(encoder, learn.sampler(averaged, table, *how), "test", 1_200)
        found[each] = {"steps": how[0], "guidance": how[1], "correct": mean, "by_category": kinds}
    ceiling = latents.ceiling(encoder, "test", 2_048)
    report = {"shuffled": shuffled, "test": found, "ceiling": ceiling, "training": record}
    if stage in FLOWS:
        report["teacher"] = {"name": NAMES[TEACHER], "guidance": GUIDANCE, "answers": ANSWERS}
    for before in ("vae", *stages_before(stage)):
        report[before] = json.loads((work / f"{before}.json").read_text(encoding="utf-8"))
    write_json(WEIGHTS / name / "training.json", report)
    seal([*files, WEIGHTS / name / "training.json"], WEIGHTS)


def main() -> None:
    """Run the stages asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stages", nargs="*", default=list(PLANS), help=", ".join(PLANS))
    parser.add_argument("--work", type=Path, default=Path("runs/sprites"))
    parser.add_argument("--steps", type=int, help="in place of the plan's")
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args()
    if unknown := [each for each in given.stages if each not in PLANS]:
        parser.error(f"stages are {', '.join(PLANS)}; got {', '.join(unknown)}")
    given.work.mkdir(parents=True, exist_ok=True)
    for stage in given.stages:
        plan = PLANS[stage]
        plan = replace(plan, steps=given.steps) if given.steps else plan
        run(stage, plan, given.work, not given.quiet)


if __name__ == "__main__":
    main()
