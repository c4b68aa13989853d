"""Ctrl-C where there is nothing to be put in order: while modules are imported, and when all is done.

Python raises KeyboardInterrupt wherever it stands. A module in C that is being imported makes an ImportError or a
SystemError of it, and a callback of a weak reference a traceback on stderr; so here the process ends at once.
It imports next to nothing, as Ctrl-C shows a traceback until it is imported.
"""

import os
import signal
from types import FrameType, TracebackType

__all__ = ["ExitAtOnce", "exit_at_once"]

_LINE = b"error: interrupted\n"


class ExitAtOnce:
    """While it is entered, Ctrl-C ends the process: one line on stderr, exit code 130, nothing unwound."""

    def __enter__(self) -> None:
        self._changed = exit_at_once()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changed:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def exit_at_once() -> bool:
    """From here on Ctrl-C ends the process as `ExitAtOnce` has it; False where it is ignored, or another handles it."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, _exit)
    except ValueError:  # only the main thread is interrupted, and may say what then
        return False
    return True


def _exit(_number: int, _frame: FrameType | None) -> None:
    try:
        os.write(2, _LINE)
    finally:
        os._exit(130)
