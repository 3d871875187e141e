"""A module that nothing may import unless it is trusted."""
