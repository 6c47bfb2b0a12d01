"""How the processes log: one line an event, to standard error, control characters escaped."""

import logging
import sys

import click
import structlog
from structlog.typing import Processor

from backend.ops.children import is_child

log = structlog.get_logger(__name__)


def configure(level: str) -> None:
    """Sends what structlog and the standard library log down one way, from `level` (debug, info, …) on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.KeyValueRenderer(key_order=["level", "logger", "event"], drop_missing=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # Whoever sends what is not HTTP hears of it; the log would only be filled by them.
    logging.getLogger("uvicorn.error").setLevel(max(number, logging.ERROR))
    for chatty in ("alembic", "rq.worker"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


def announce(text: str) -> None:
    """Says that a process begins, to whoever started it by hand; under `up`, whose screen tells it, only at debug."""
    if is_child():
        log.debug(text)
    else:
        click.echo(text, err=True)
