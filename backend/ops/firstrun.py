"""What the first start leaves behind: the data directory, and in it the secret key and the administrator's token."""

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backend.errors import SettingsError, StartError
from backend.settings import Settings


def make_data_dir(settings: Settings) -> None:
    """Creates the data directory, for its owner only; raises StartError where it cannot be written."""
    directory = settings.data_dir
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"The data directory {directory} cannot be made: {error.strerror}.") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartError(f"The data directory {directory} is not writable for this user.")


def require_data_dir(settings: Settings) -> None:
    """Raises where the secrets must come from the data directory and there is none: most likely it lies elsewhere."""
    if not settings.secret_key and not settings.data_dir.is_dir():
        raise SettingsError(f"There is no data directory at {settings.data_dir}; use --data-dir.")


def make_secrets(settings: Settings) -> tuple[Settings, bool]:
    """The settings with a secret key and a token, from the data directory or new; True where the token is new."""
    key, _ = _kept(settings.secret_key, settings.data_dir / "secret_key", lambda: secrets.token_urlsafe(48))
    token, is_new = _kept(
        settings.admin_token, settings.data_dir / "admin_token", lambda: f"chi_adm_{secrets.token_urlsafe(24)}"
    )
    return replace(settings, secret_key=key, admin_token=token), is_new


def read_secrets(settings: Settings) -> Settings:
    """The settings with the secrets that `chimein up` keeps in the data directory; raises where there is no key."""
    key = settings.secret_key or _read(settings.data_dir / "secret_key")
    if not key:
        raise SettingsError(
            "CHIMEIN_SECRET_KEY is not set, and there is no key in the data directory "
            f"{settings.data_dir}. Set it to the same value for every process."
        )
    return replace(
        settings, secret_key=key, admin_token=settings.admin_token or _read(settings.data_dir / "admin_token")
    )


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads, as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _kept(value: str, path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    if value or (value := _read(path)):
        return value, False
    value = make()
    write_private(path, value + "\n")
    return value, True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}.") from None
