"""A process for tests to kill: `mail_worker.py NOW` takes a turn at the mails of conversations; set up by CHIMEIN_*."""

import sys
from dataclasses import replace
from datetime import datetime

from backend.channels.directory import open_channels
from backend.channels.email import EmailChannel
from backend.pipeline.mail_out import Mailer
from backend.runtime import open_runtime
from backend.settings import Settings


def main(now: str) -> None:
    """Does one turn at the moment NOW, wherever CHIMEIN_CRASH_AT does not end it."""
    with open_runtime(Settings.load()) as opened:
        rt = replace(opened, clock=lambda: datetime.fromisoformat(now))
        channel = open_channels(rt.settings)["email"]
        assert isinstance(channel, EmailChannel)
        Mailer(rt, channel).turn()


if __name__ == "__main__":
    main(*sys.argv[1:])
