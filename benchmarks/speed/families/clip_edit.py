"""ClipEdit: a film is cut, no pixel is touched."""

from benchmarks.speed.families import Target

ENV = "genenvs/ClipEdit-v0"
WHY = (
    "New films to be cut: footage, brief and hidden editor are drawn in nearly every step; then "
    "what is said of every choice, a table as long as there are actions."
)
TARGETS = (Target(ENV, 4_096, "torch", 100_000), Target(ENV, 64, "torch", 50, "sync"))
