"""Rooms and furniture: seeded plans, a catalogue, what keeps to the rules, greedy furnishing.

No MDP. A task that needs furnished rooms takes `furnished.load(split)`: a batch of rooms by index
whose `walkable` is a raster bool [N, 64, 64] of 10 cm cells (x first, z up, metres = cells / 10),
`inside` the same without furniture, `boxes` (with `present`) the furniture, and `plans.doors` the
doors. An empty room comes from `instances.load(split)`, furniture one by one from `placing`.
"""
