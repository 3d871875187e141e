"""Reference agents for genenvs, read and run from a checkout: `python -m agents train ...`.

from agents import train, load
trained = train("actor_critic", "genenvs/DenoiseSchedule-v0", steps=100_000)
genenvs.evaluate("genenvs/DenoiseSchedule-v0", trained.agent.act, output="torch")
"""

from .training import Trained, load, train

__all__ = ["Trained", "load", "train"]
