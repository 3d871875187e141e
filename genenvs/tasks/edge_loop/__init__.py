"""Edge loops on cuboids, moved until they follow a shape (Mesh-Agent, Lin et al., ECCV 2020)."""
