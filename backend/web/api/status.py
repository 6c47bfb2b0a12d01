"""`/api/v1/status`: what waits to be done."""

from typing import Any

from backend.pipeline.status import status
from backend.schemas.status import StatusOut
from backend.web.api.blueprint import Blueprint
from backend.web.context import runtime

blueprint = Blueprint("status", __name__, "How far everything is.")


@blueprint.route("/status", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, StatusOut)
def get_status() -> Any:
    """Get the status

    `pending_events` is 0 when every accepted event has been folded and decided on.
    """
    return status(runtime())
