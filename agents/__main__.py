"""`python -m agents`, from the root of a checkout."""

import sys

if not __package__:  # `python agents`: nothing here could be imported
    sys.exit("agents: run `python -m agents` in the root of the checkout")

from .cli import guarded

if __name__ == "__main__":
    sys.exit(guarded(sys.argv[1:]))
