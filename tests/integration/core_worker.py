"""A process for tests to kill: `core_worker.py drain NOW`, or `collect NOW KEY BODY`; set up by CHIMEIN_*."""

import sys
from dataclasses import replace
from datetime import datetime

from backend.pipeline.collect import collect_batch, read_batch
from backend.pipeline.process import Processor
from backend.runtime import open_runtime
from backend.settings import Settings


def main(task: str, now: str, *rest: str) -> None:
    """Does the task once, at the moment NOW, wherever CHIMEIN_CRASH_AT does not end it."""
    with open_runtime(Settings.load()) as opened:
        rt = replace(opened, clock=lambda: datetime.fromisoformat(now))
        if task == "collect":
            site = rt.sites.by_write_key(rest[0])
            assert site is not None
            collect_batch(rt.log, site.id, rt.clock(), read_batch(rest[1].encode()))
            return
        processor = Processor(rt)
        processor.drain()
        processor._trim()
        processor.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
