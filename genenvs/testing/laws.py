"""What a broken law is reported as, and how two results are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from genenvs.testing.play import Subject

LAWS = {
    0: "contract",
    1: "checkers",
    2: "episodes",
    3: "autoreset",
    4: "reward",
    5: "observations and limits",
    6: "masks",
    7: "snapshots",
    8: "rendering and processes",
    9: "actions",
    10: "scores",
    11: "splits",
}


class LawError(AssertionError):
    """A law that an environment breaks.

    Attributes:
        law: its number, a key of `LAWS`; 0 is the contract of `Task` itself.
        what: what should hold.
        where: where it did not: check, row, step, key ...
    """

    def __init__(
        self, law: int, what: str, *, expected: Any = None, got: Any = None, **where: Any
    ) -> None:
        """Say which law broke, where, and what was seen.

        Args:
            law: a key of `LAWS`.
            what: what should hold, as a sentence.
            expected: the value that should have been seen.
            got: the value that was.
            **where: check, mode, row, step, key ...; entries that are None are left out.
        """
        self.law, self.what = law, what
        self.where = {k: v for k, v in where.items() if v is not None}
        place = ", ".join(f"{k} {v}" for k, v in self.where.items())
        seen = [f"{name} {brief(value)}" for name, value in (("expected", expected), ("got", got))
                if value is not None]  # fmt: skip
        message = f"law {law} ({LAWS[law]}): {what}{f' [{place}]' if place else ''}"
        super().__init__(": ".join([message, ", ".join(seen)] if seen else [message]))


@dataclass(frozen=True)
class Check:
    """One check of one law.

    Attributes:
        name: what it claims, as an identifier.
        law: the law it belongs to.
        function: raises `LawError` where the claim does not hold.
    """

    name: str
    law: int
    function: Callable[["Subject"], None]

    def __call__(self, subject: "Subject") -> None:
        """Run; whatever the environment raises by itself breaks the law, too."""
        try:
            self.function(subject)
        except LawError:
            raise
        except Exception as error:
            raise LawError(
                self.law,
                f"{self.name} could not be looked at: the environment raised"
                f" {type(error).__name__}: {error}",
            ) from error


CHECKS: dict[str, Check] = {}  # in the order in which they run


def check(law: int) -> Callable[[Callable[["Subject"], None]], Callable[["Subject"], None]]:
    """Enter a function into `CHECKS` under its name."""

    def enter(function: Callable[["Subject"], None]) -> Callable[["Subject"], None]:
        CHECKS[function.__name__] = Check(function.__name__, law, function)
        return function

    return enter


def brief(value: Any) -> str:
    """A value as it fits into a message."""
    text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def numpy(value: Any) -> Any:
    """A copy of a result in which every tensor is an array: nothing later can change it."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, np.ndarray):
        if value.dtype != object:
            return value.copy()
        copies = np.empty_like(value)
        for index in np.ndindex(value.shape):
            copies[index] = numpy(value[index])
        return copies
    if isinstance(value, Mapping):
        return {k: numpy(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(numpy(v) for v in value)
    return numpy(value.tensors()) if hasattr(value, "tensors") else value


def difference(
    expected: Any, got: Any, tolerance: float = 0.0, strict: bool = False, path: str = ""
) -> tuple[str, Any, Any] | None:
    """Where two results differ first.

    Args:
        expected: arrays, numbers, None, and dicts and sequences of them.
        got: the same, from elsewhere.
        tolerance: absolute and relative, for floating point numbers.
        strict: whether dtypes must agree, too.
        path: where these two stand in a larger result.

    Returns:
        None where they agree, else the path, and what stands there in each.
    """
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping) or set(expected) != set(got):
            return (
                f"{path} keys",
                sorted(expected),
                sorted(got) if isinstance(got, Mapping) else got,
            )
        for key in expected:
            found = difference(expected[key], got[key], tolerance, strict, f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(expected, tuple | list) or (
        isinstance(expected, np.ndarray) and expected.dtype == object
    ):
        if not isinstance(got, tuple | list | np.ndarray) or len(expected) != len(got):
            return path, expected, got
        for i, (mine, theirs) in enumerate(zip(expected, got, strict=True)):
            if found := difference(mine, theirs, tolerance, strict, f"{path}[{i}]"):
                return found
        return None
    if expected is None or got is None or isinstance(expected, str):
        return None if expected is got or expected == got else (path, expected, got)
    mine, theirs = np.asarray(expected), np.asarray(got)
    if mine.shape != theirs.shape:
        return f"{path} shape", list(mine.shape), list(theirs.shape)
    if strict and mine.dtype != theirs.dtype:
        return f"{path} dtype", str(mine.dtype), str(theirs.dtype)
    if tolerance and mine.dtype.kind == "f":
        close = np.isclose(theirs, mine, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        close = (mine == theirs) | ((mine != mine) & (theirs != theirs))
    if close.all():
        return None
    index = tuple(int(i) for i in np.argwhere(~close)[0])
    return f"{path}{list(index) if index else ''}", mine[index], theirs[index]


def same(
    law: int,
    what: str,
    expected: Any,
    got: Any,
    tolerance: float = 0.0,
    strict: bool = False,
    **where: Any,
) -> None:
    """Raise a `LawError` where two results differ."""
    found = difference(expected, got, tolerance, strict)
    if found:
        path, mine, theirs = found
        key = path.lstrip(".") or None
        raise LawError(law, what, expected=mine, got=theirs, **where, key=key)


def require(
    holds: bool, law: int, what: str, *, expected: Any = None, got: Any = None, **where: Any
) -> None:
    """Raise a `LawError` unless it holds."""
    if not holds:
        raise LawError(law, what, expected=expected, got=got, **where)
