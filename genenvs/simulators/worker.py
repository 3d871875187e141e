"""One process of a pool: scenes come in by standard input, what became of them goes out."""

import os
import pickle
import sys

from genenvs.simulators.engine import engine


def main() -> None:
    """Settle what is asked for."""
    # Engines print to standard output as they load.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    name, scenes, steps = pickle.load(sys.stdin.buffer)
    pickle.dump([engine(name).settle(scene, steps) for scene in scenes], answer)
    answer.close()


if __name__ == "__main__":
    main()
