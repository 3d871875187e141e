"""Train the judge of `digits`: a small classifier of real digits, from the training split alone.

    python -m genenvs.generators.training.digits_judge

Repeats bit for bit with the same seed, thread count and library versions.
"""

import argparse
import copy

import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.generators.judge import Architecture, JudgeNetwork, save_judge
from genenvs.generators.training.digits_data import jitter, load_split


@torch.no_grad()
def accuracy(network: JudgeNetwork, images: Tensor, labels: Tensor) -> float:
    """Return the share of images read correctly."""
    return float((network(images)[0].argmax(1) == labels).float().mean())


def train(epochs: int = 120, batch: int = 64, seed: int = 0, progress: bool = True) -> JudgeNetwork:
    """Return the averaged network after `epochs` passes over the jittered training split."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels = load_split("train")
    held_images, held_labels = load_split("validation")
    network = JudgeNetwork(Architecture())
    averaged = copy.deepcopy(network).eval()
    per_epoch = len(images) // batch
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * per_epoch)
    for epoch in (bar := tqdm(range(epochs), disable=not progress, mininterval=1)):
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: per_epoch * batch].view(per_epoch, batch):
            # Wider than the generator's own jitter: a judge should not mind where a digit sits.
            logits, _ = network(jitter(images[rows], generator, shift=1.0, degrees=12.0))
            loss = torch.nn.functional.cross_entropy(logits, labels[rows], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            plan.step()
            with torch.no_grad():
                decay = 0.0 if epoch == 0 else 0.995
                torch._foreach_lerp_(
                    list(averaged.parameters()), list(network.parameters()), 1 - decay
                )
        bar.set_postfix(validation=f"{accuracy(averaged, held_images, held_labels):.4f}")
    return averaged


def main() -> None:
    """Train, print the accuracy on all splits, and write the shipped files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    network = train(arguments.epochs, seed=arguments.seed)
    for split in ("train", "validation", "test"):
        print(f"{split}: {accuracy(network, *load_split(split)):.4f}")
    save_judge("digits", network, Architecture(), load_split("test")[0])


if __name__ == "__main__":
    main()
