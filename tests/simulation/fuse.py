"""Ends a process with SIGKILL at its n-th contact with a named point of the code, or after so much CPU time."""

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from sqlalchemy import Connection

from node.store.unit_of_work import Store

POLL_MS = 1

# A function that opens transactions, and what a process does in it.
Door = tuple[type, str, str]


@dataclass
class Fuse:
    """Counts contacts with one point; `left` 0 never ends anything."""

    point: str = ""
    left: int = 0
    doing: list[str] = field(default_factory=list)

    def burn(self, point: str) -> None:
        """Count a contact."""
        if point == self.point and self.left:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def watching(self, doors: tuple[Door, ...], calls: tuple[tuple[type, str], ...]) -> Iterator[None]:
        """Make points of the commits inside these doors ("before match commit"), and after these calls."""
        begin = Store.begin

        @contextmanager
        def fused_begin(store: Store) -> Iterator[Connection]:
            doing = self.doing[-1] if self.doing else "other"
            with begin(store) as connection:
                yield connection
                self.burn(f"before {doing} commit")
            self.burn(f"after {doing} commit")

        with contextlib.ExitStack() as patches:
            patches.enter_context(mock.patch.object(Store, "begin", fused_begin))
            for kind, name, doing in doors:
                patches.enter_context(mock.patch.object(kind, name, self._named(getattr(kind, name), doing)))
            for kind, name in calls:
                patches.enter_context(mock.patch.object(kind, name, self._after(getattr(kind, name), name)))
            yield

    def _named(self, function: Callable[..., Any], doing: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.doing.append(doing)
            try:
                return function(*arguments, **named)
            finally:
                self.doing.pop()

        return watched

    def _after(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            done = function(*arguments, **named)
            self.burn(f"after {name}")
            return done

        return watched


def kill_after(child: int, cpu_s: float) -> None:
    """Kill a child once it has used so much CPU time, unless it ends before: a busy machine moves no kill."""
    clock = (~child << 3) | 2  # the CPU-time clock of a process: clock_getcpuclockid(3)
    descriptor = os.pidfd_open(child)
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        while not ended.poll(POLL_MS):
            if time.clock_gettime(clock) >= cpu_s:
                os.kill(child, signal.SIGKILL)
                return
    finally:
        os.close(descriptor)


def in_a_child(run: Callable[[], None], kill_after_s: float | None = None) -> bool:
    """Run something in a fork of this process; tell whether it was killed.

    Raises
    ------
    ChildFailed
        If it ended by itself with an error.
    """
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after_s is not None:
        kill_after(child, kill_after_s)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise ChildFailed
    return os.WIFSIGNALED(status)


class ChildFailed(Exception):
    """A child ended by itself, with an error that it printed."""
