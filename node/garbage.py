"""How often Python looks for circular garbage in a program that holds much and makes little of it.

A running node keeps hundreds of thousands of small objects (orders, exposures, rows) and frees nearly all others
by reference counting alone. Python's default, a look after every 700 new containers, walks the same survivors
again and again: a fifth of a day's processor time at a thousand homes, and pauses in the control loop.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# New containers before the youngest are looked at; the older generations follow every tenth time, as by default.
YOUNG = 50_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Leave what exists now out of all collections, and look at new objects far less often."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
