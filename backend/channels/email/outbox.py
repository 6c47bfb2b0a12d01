"""Where no mail server is set: each letter becomes a file that any mail program opens."""

import os
from collections.abc import Callable
from pathlib import Path

from backend.channels.email.letter import Letter
from backend.errors import DeliveryError


class Outbox:
    """A directory of `.eml` files, named by the message: writing one again changes nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def send(self, letter: Letter, begin: Callable[[], None]) -> None:
        """Writes the whole file or none, and only returns once the disk has it."""
        begin()
        target = self._directory / f"{letter.id}.eml"
        draft = self._directory / f".{letter.id}.{os.getpid()}.tmp"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(draft, "wb") as file:
                file.write(letter.data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, target)
            _sync_directory(self._directory)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise DeliveryError(f"The outbox cannot be written: {error.strerror}.") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
