"""What every command comes to: what it imports is no work for the garbage collector, and a budget counts it."""

import gc
import sys
import time
from dataclasses import replace

from ui import present as presenting
from ui.context import command_context
from ui.watcher import Watcher


def test_what_is_imported_once_is_not_collected_meanwhile_nor_later():
    frozen, here = gc.get_freeze_count(), __name__
    try:
        with presenting._uncollected("a module that is not loaded"):
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
    assert here in sys.modules
    with presenting._uncollected(here):
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_time_budget_counts_from_the_beginning_of_the_command(new_home):
    with command_context(new_home, json=True) as context:
        assert 0 < Watcher(context).waited() <= time.monotonic() - context.began
        assert Watcher(replace(context, began=context.began - 60)).waited() > 60
