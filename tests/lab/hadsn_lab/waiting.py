"""Waiting with a deadline, and telling the person at the terminal what for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .layout import LabError

Result = TypeVar("Result")


class Deadline:
    """The moment at which waiting ends."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())


def wait_for(what: str, seconds: float, condition: Callable[[], Result | None]) -> Result:
    """Waits until the condition gives something true, and returns that."""
    deadline = Deadline(seconds)
    while not (result := condition()):
        if deadline.passed:
            raise LabError(f"{what}: not within {deadline.seconds:.0f} s")
        time.sleep(0.1)
    return result


def say(text: str) -> None:
    print(f"lab: {text}", flush=True)
