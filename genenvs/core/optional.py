"""Libraries that only some users need: one clear error that names the extra."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library.

    Args:
        module: its import name, dots allowed.
        extra: the extra of `genenvs` that installs it.

    Raises:
        ImportError: it is not installed, or lacks something itself (then the cause is said).
    """
    try:
        return import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(root)
        why = "is not installed" if absent else f"cannot be imported ({error})"
        raise ImportError(
            f'{root} {why}; `pip install "genenvs[{extra}]"` installs what it takes', name=root
        ) from error
