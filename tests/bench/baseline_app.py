"""The least collector: Flask, one msgspec decode, one XADD; what ours is held against."""

import os

import msgspec
import redis
from flask import Flask, Response, request


class Call(msgspec.Struct, rename="camel"):
    """One event, typed as far as a bare collector would."""

    type: str | None = None
    event: str | None = None
    anonymous_id: str | None = None
    user_id: str | None = None
    message_id: str | None = None
    timestamp: str | None = None
    properties: dict | None = None
    context: dict | None = None


class Batch(msgspec.Struct):
    """A batch of them."""

    batch: list[Call]


app = Flask(__name__)
client = redis.Redis.from_url(os.environ["CHIMEIN_REDIS_URL"])
decode_call = msgspec.json.Decoder(Call).decode
decode_batch = msgspec.json.Decoder(Batch).decode


@app.post("/v1/track")
def track() -> Response:
    """One event."""
    body = request.get_data()
    decode_call(body)
    client.xadd("baseline", {"e": body})
    return Response(b'{"success":true}', mimetype="application/json")


@app.post("/v1/batch")
def batch() -> Response:
    """A batch in one entry."""
    body = request.get_data()
    decode_batch(body)
    client.xadd("baseline", {"e": body})
    return Response(b'{"success":true}', mimetype="application/json")
