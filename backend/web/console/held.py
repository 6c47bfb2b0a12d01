"""What a part of a conversation holds beside text, as the thread shows it: files, products, who is mentioned."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from markupsafe import Markup

from backend.domain.attachment import IMAGES
from backend.domain.conversation import Part
from backend.domain.mention import mentions_of, pieces
from backend.domain.offer import offers_of, priced
from backend.pipeline.attach import address_of
from backend.web.console.words import linked, safe_url
from backend.web.context import runtime

_MENTION = Markup('<mark class="{kind}">{name}</mark>')


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file; `address` is empty where it cannot be had, such as of a mail's that was not kept."""

    name: str
    size: str
    address: str
    image: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A product that stands in a reply."""

    name: str
    price: str
    address: str
    picture: str


def files(part: Part) -> list[File]:
    """The files of a part, with addresses that hold for a day."""
    listed = part.content.get("attachments") or part.content.get("files")
    return [_file(each) for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []


def _file(told: Mapping[str, object]) -> File:
    name, key = str(told.get("name") or "file")[:120], told.get("id")
    return File(
        name=name,
        size=size(told.get("size")),
        address=address(key, name) if isinstance(key, str) and key else "",
        image=told.get("type") in IMAGES,
    )


def address(attachment_id: str, name: str) -> str:
    """Where the console's own pages find a file: on their own host, by whatever name that is reached."""
    return urlsplit(address_of(runtime(), attachment_id, name))._replace(scheme="", netloc="").geturl()


def size(told: object) -> str:
    """Bytes, as people read them."""
    if not isinstance(told, int):
        return ""
    return f"{told / 1e6:.1f} MB" if told >= 1_000_000 else f"{max(1, round(told / 1e3))} kB"


def offers(part: Part) -> list[Offer]:
    """The products of a part."""
    return [shown(each) for each in offers_of(part.content)]


def shown(told: Mapping[str, object]) -> Offer:
    """A product as lists and replies show it; links and pictures only where they can do no harm."""
    picture = safe_url(told.get("image_url"))
    return Offer(
        name=str(told["name"]),
        price=priced(told),
        address=safe_url(told.get("url")),
        picture=picture if picture.lower().startswith(("https:", "http:")) else "",
    )


def worded(part: Part, me: str) -> Markup:
    """The text, escaped, with addresses as links and mentions marked; one's own stand out."""
    mentions = mentions_of(part.content) if part.kind == "note" else ()
    if not mentions:
        return linked(part.text)
    mine = {str(each.get("name")).casefold() for each in mentions if each["id"] == me}
    told = Markup()
    for piece, is_name in pieces(part.text, [str(each.get("name") or "") for each in mentions]):
        kind = "mention me" if piece[1:].casefold() in mine else "mention"
        told += _MENTION.format(kind=kind, name=piece) if is_name else linked(piece)
    return told
