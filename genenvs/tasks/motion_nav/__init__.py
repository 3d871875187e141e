"""Walking through a room to a goal, by motion primitives."""
