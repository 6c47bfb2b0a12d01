"""What is said about JSON that the collector cannot take is a sentence for whoever wrote it."""

import msgspec
import pytest

from backend.schemas.misread import misread
from backend.schemas.wire import decode_batch, decode_event


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty; it must be JSON."),
        (b" \n", "The body is empty; it must be JSON."),
        (b'{"event":"X"', "The JSON ends in the middle, or holds half a character (a lone surrogate)."),
        (b'{"a":"\\ud800"}', "The JSON ends in the middle, or holds half a character (a lone surrogate)."),
        (b"event=X", "JSON is malformed: invalid character (byte 0)."),
        (b'{"event":5}', "Expected text, or null, got a whole number - at `$.event`."),
        (b'{"properties":[]}', "Expected an object, or null, got an array - at `$.properties`."),
        (b'{"timestamp":"x"}', "Expected a date and time such as 2026-03-01T09:30:00Z - at `$.timestamp`."),
        (b'{"event":"' + b"x" * 256 + b'"}', "Expected text of length <= 255 - at `$.event`."),
    ],
)
def test_a_mistake_is_told_in_the_words_of_json_and_not_of_python(body: bytes, sentence: str) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        decode_event(body)
    assert misread(caught.value, body) == sentence


def test_a_key_that_is_named_as_a_type_stays_what_it_is() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        decode_batch(b"{}")
    assert misread(caught.value) == "Object missing required field `batch`."
