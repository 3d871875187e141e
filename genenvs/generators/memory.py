"""As `genenvs.core.memory` has it."""

from genenvs.core.memory import Limit, in_parts, out_of_memory

__all__ = ["Limit", "in_parts", "out_of_memory"]
