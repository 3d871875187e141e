"""`python -m genenvs` is the command `genenvs`."""

from genenvs.cli import main

if __name__ == "__main__":
    main()
