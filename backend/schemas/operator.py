"""How operators, departments and canned replies are written in the API."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate

from backend.domain import canned_reply, department
from backend.domain.canned_reply import SHORTCUT
from backend.domain.operator import EVERY_SITE, LONGEST_NAME, MOST_AT_A_TIME, ROLES, Membership, Operator
from backend.domain.template import TemplateError, parse_template
from backend.schemas.fields import Flag, Line, Moment, StrictSchema

_SITE = "The id or name of a site; null: every site."


class MembershipIn(StrictSchema):
    """What an operator is on one site, or on all."""

    site = fields.String(required=True, allow_none=True, metadata={"description": _SITE})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    departments = fields.List(
        fields.String(), load_default=list, metadata={"description": "Ids of departments of that site."}
    )
    capacity = fields.Integer(
        strict=True,
        load_default=None,
        validate=validate.Range(1, MOST_AT_A_TIME),
        metadata={"description": "With so many conversations they are given no more; as it is where left out."},
    )


class OperatorMembershipOut(StrictSchema):
    """What an operator is on one site, or (null) on all."""

    site_id = fields.String(allow_none=True)
    role = fields.String(metadata={"enum": list(ROLES)})
    departments = fields.List(fields.String())
    capacity = fields.Integer()


class OperatorIn(StrictSchema):
    """A new operator."""

    email = fields.Email(required=True, validate=validate.Length(max=320))
    name = Line(required=True, longest=LONGEST_NAME)
    memberships = fields.List(fields.Nested(MembershipIn), required=True, validate=validate.Length(min=1, max=1_000))


class OperatorPatch(StrictSchema):
    """What to change; `memberships` are all that the operator has then."""

    name = Line(longest=LONGEST_NAME)
    memberships = fields.List(fields.Nested(MembershipIn), validate=validate.Length(max=1_000))
    disabled = Flag(metadata={"description": "True shuts them out at once, false lets them in again."})
    reset = Flag(metadata={"description": "True takes the password away; the answer has the link for another one."})


class OperatorOut(StrictSchema):
    """Somebody who uses the console."""

    id = fields.String()
    email = fields.String()
    name = fields.String()
    memberships = fields.List(fields.Nested(OperatorMembershipOut))
    photo = fields.String(allow_none=True, metadata={"description": "The address of their photo, open to everybody."})
    invited = fields.Boolean(metadata={"description": "Whether they have yet to choose a password."})
    disabled_at = Moment(allow_none=True)
    created_at = Moment()


class InvitedOut(OperatorOut):
    """An operator, and the link by which they choose a password: shown this once, good for a week and for one use."""

    link = fields.String(allow_none=True, metadata={"example": "https://chat.shop.example/console/invited/…"})


class DepartmentIn(StrictSchema):
    """A department."""

    name = Line(required=True, longest=department.LONGEST_NAME, metadata={"example": "Returns"})


class DepartmentOut(StrictSchema):
    """A group of operators that conversations can be given to."""

    id = fields.String()
    name = fields.String()
    created_at = Moment()


def _shortcut(text: str) -> None:
    if SHORTCUT.fullmatch(text) is None:
        raise ValidationError("Up to 40 letters, digits, - or _, with a letter or a digit first.")


def _liquid(text: str) -> None:
    if not text.strip():
        raise ValidationError("Must not be empty.")
    try:
        parse_template(text)
    except TemplateError as error:
        raise ValidationError(str(error)) from None


class CannedReplyIn(StrictSchema):
    """A canned reply."""

    shortcut = fields.String(
        required=True, validate=_shortcut, metadata={"example": "hello", "description": "What is typed behind a slash."}
    )
    text = fields.String(
        required=True,
        validate=[validate.Length(max=canned_reply.LONGEST_TEXT), _liquid],
        metadata={"example": 'Hello {{ first_name | default: "there" }}!', "description": "Liquid, as in messages."},
    )


class CannedReplyPatch(StrictSchema):
    """What to change of a canned reply."""

    shortcut = fields.String(validate=_shortcut)
    text = fields.String(validate=[validate.Length(max=canned_reply.LONGEST_TEXT), _liquid])


class CannedReplyOut(StrictSchema):
    """A text that operators call up by a slash and its shortcut."""

    id = fields.String()
    shortcut = fields.String()
    text = fields.String()
    created_at = Moment()


class DepartmentsOut(StrictSchema):
    """All departments of a site, by name."""

    items = fields.List(fields.Nested(DepartmentOut))


class CannedRepliesOut(StrictSchema):
    """All canned replies of a site, by shortcut."""

    items = fields.List(fields.Nested(CannedReplyOut))


class PhotoOut(StrictSchema):
    """Where a photo lies; another one has another address."""

    photo = fields.String(metadata={"example": "https://chat.shop.example/photos/6b86b2…"})


def operator_view(operator: Operator, photo: str | None) -> dict[str, Any]:
    """The operator as `OperatorOut` dumps it; `photo` is the address of theirs."""
    plain = {name: getattr(operator, name) for name in ("id", "email", "name", "disabled_at", "created_at")}
    return plain | {
        "memberships": [_membership(each) for each in operator.memberships],
        "photo": photo,
        "invited": not operator.chosen,
    }


def _membership(membership: Membership) -> Mapping[str, Any]:
    site_id = None if membership.site_id == EVERY_SITE else membership.site_id
    return {
        "site_id": site_id,
        "role": membership.role,
        "departments": list(membership.departments),
        "capacity": membership.capacity,
    }
