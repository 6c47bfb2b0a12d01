"""How a request finds what the process was built with."""

from typing import cast

from flask import current_app

from backend.runtime import Runtime

KEY = "chimein"


def runtime() -> Runtime:
    """The runtime of the application that answers the current request."""
    return cast(Runtime, current_app.extensions[KEY])
