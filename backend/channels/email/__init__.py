"""By e-mail: through the mail server of the settings, or as `.eml` files where there is none."""

from backend.channels.email.channel import EmailChannel

__all__ = ["EmailChannel"]
