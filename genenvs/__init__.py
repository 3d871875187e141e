"""Gymnasium environments in which making something visual is a Markov decision process."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genenvs import tasks as _tasks  # noqa: F401  (registers every id, as strings)
from genenvs.core.registry import declaration, ids

if TYPE_CHECKING:
    from genenvs.core.evaluate import evaluate
    from genenvs.core.info import step_terms

__version__ = "0.1.0"
__all__ = ["__version__", "declaration", "evaluate", "ids", "step_terms"]

# What needs torch is loaded when it is asked for: `import genenvs` stays quick.
_LAZY = {"evaluate": "genenvs.core.evaluate", "step_terms": "genenvs.core.info"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'genenvs' has no attribute {name!r}")
