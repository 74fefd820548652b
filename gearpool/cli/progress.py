"""Progress on standard error, when that is a terminal. Floor 5. rich is loaded with the first thing to show."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gearpool.cli.screen import is_screen

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A bar that appears when the worker first reports progress."""

    def __init__(self, title: str, *, shown: bool) -> None:
        self._title = title
        self._shown = shown and is_screen(sys.stderr)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def update(self, done: int, total: int) -> None:
        """Show ``done`` of ``total``; a total of 0 is unknown."""
        if not self._shown:
            return
        if self._progress is None or self._task is None:
            self._progress = _make_progress()
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=None)
        self._progress.update(self._task, completed=done, total=total or None)

    def clear(self) -> None:
        """Take it away; it comes back with the next report."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


@contextlib.contextmanager
def lines_bar(*, shown: bool) -> Iterator[Callable[[], None]]:
    """A counter of jobs done; gives the function that counts one."""
    if not (shown and is_screen(sys.stderr)):
        yield lambda: None
        return
    progress = _make_progress()
    task = progress.add_task("jobs", total=None)
    with progress:
        yield lambda: progress.advance(task)


def _make_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
