"""Files from addresses that people write, piece by piece; what may be called is as for webhooks, see `outbound`."""

from collections.abc import Mapping
from typing import BinaryIO

from backend.channels.outbound import Answer, Outbound, answered
from backend.errors import DeliveryError

PIECE = 64 * 1024


def fetch_file(out: Outbound, url: str, headers: Mapping[str, str], into: BinaryIO) -> Answer:
    """A file from an address that somebody wrote, piece by piece, as `fetch_out`; the answer has no body then.

    What is no 200 is not read. Raises DeliveryError too where the file is cut short, or longer than `most_read` bytes.
    """
    with answered(out, "GET", url, headers, None) as (response, told):
        size = 0
        while response.status == 200 and (piece := response.read1(PIECE)):
            size += len(piece)
            if size > out.most_read:
                raise DeliveryError(f"The file is longer than {out.most_read // 2**20} MB.", permanent=True)
            into.write(piece)
        if response.status == 200 and response.length:
            raise DeliveryError("The file is cut short: its sender hung up.")
        return Answer(status=response.status, headers=told, body=b"")
