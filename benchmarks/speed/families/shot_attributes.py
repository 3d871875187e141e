"""ShotAttributes: the next shot of an edit is foretold, no pixel is touched."""

from benchmarks.speed.families import Target

ENV = "genenvs/ShotAttributes-v0"
WHY = "New edits, of which some end in every step: the hidden editor makes each shot after shot."
TARGETS = (Target(ENV, 4_096, "torch", 100_000), Target(ENV, 64, "torch", 50, "sync"))
