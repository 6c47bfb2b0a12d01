"""How a process keeps its memory."""

import gc

SELDOM = (50_000, 10, 10)


def seek_cycles_seldom() -> None:
    """Python looks for cycles of objects less often: we make many objects and hardly a cycle.

    It takes a fifth from a simulation, and a sixth from what a process spends on its imports.
    """
    gc.set_threshold(*SELDOM)
