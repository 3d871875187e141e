"""Dancing to music with pose codes (Bailando, Li et al., CVPR 2022)."""
