"""Which channels does this installation have? Those that a worker hands messages over to, by name."""

from collections.abc import Mapping

from backend.channels.base import Channel
from backend.channels.email import EmailChannel
from backend.settings import Settings


def open_channels(settings: Settings) -> Mapping[str, Channel]:
    """Every channel that the settings allow; SettingsError where one is set up wrongly."""
    email = EmailChannel(
        smtp_url=settings.smtp_url,
        mail_from=settings.mail_from,
        public_url=settings.public_url,
        outbox=settings.data_dir / "outbox",
    )
    return {email.name: email}
