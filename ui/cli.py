"""The command `transferzoo`: ready for Ctrl-C before it imports what the command line is made of."""

from ui.interrupts import ExitAtOnce, exit_at_once

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit: 0 done, 1 a fault of ours, 2 bad input, 130 interrupted, whenever that is."""
    with ExitAtOnce():
        from ui.program import run_command_line  # noqa: PLC0415 - all of it: it can be interrupted while it is imported
    try:
        run_command_line()
    finally:
        exit_at_once()


if __name__ == "__main__":
    main()
