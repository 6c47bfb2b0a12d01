"""The settings of a single process: its secrets and its Redis may be those of a `chimein up` on the same directory."""

from typing import Any

from backend.ops import firstrun, logs, state
from backend.settings import Settings


def load_settings(**options: Any) -> Settings:
    """The settings, with these options; with `data_dir` among them the directory must be there."""
    settings = Settings.load(**options)
    if "data_dir" in options:
        firstrun.require_data_dir(settings)
    settings = state.attach(firstrun.read_secrets(settings))
    logs.configure(settings.log_level)
    return settings
