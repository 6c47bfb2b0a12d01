"""What is an operator? Somebody who uses the console: on which sites, and in what role on each."""

from dataclasses import dataclass
from datetime import datetime, timedelta

ROLES = ("administrator", "marketer", "operator", "read_only")

EVERY_SITE = ""
"""In place of a site's id: the membership holds for every site."""

SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 200
LONGEST_NAME = 100
MOST_AT_A_TIME = 1_000
"""Conversations that one operator may be given."""
INVITED_FOR = timedelta(days=7)
"""So long a link by which somebody chooses a password works."""

_COMMON = ("password", "1234567890", "qwertyuiop", "letmein", "administrator", "chimein")


@dataclass(frozen=True, kw_only=True, slots=True)
class Membership:
    """What an operator is on one site (`EVERY_SITE`: on all of them).

    With so many conversations as `capacity` they are given no more; None: as it was, 10 at first.
    """

    site_id: str
    role: str
    departments: tuple[str, ...] = ()
    capacity: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """One operator; `chosen` says whether they have a password yet, `photo` is the digest of one.

    Who is disabled may do nothing at all.
    """

    id: str
    email: str
    name: str
    chosen: bool
    created_at: datetime
    photo: str | None = None
    disabled_at: datetime | None = None
    memberships: tuple[Membership, ...] = ()

    def on(self, site_id: str) -> Membership | None:
        """What they are on this site: as said of this very site, else as of every site; None: nothing."""
        if self.disabled_at is not None:
            return None
        found = {each.site_id: each for each in self.memberships}
        return found.get(site_id) or found.get(EVERY_SITE)

    @property
    def everywhere(self) -> bool:
        """Whether they administer every site."""
        return any(each.site_id == EVERY_SITE and each.role == "administrator" for each in self.memberships)


def email_of(text: str) -> str:
    """The address as operators are found by it."""
    return text.strip().lower()


def weakness(password: str, email: str, name: str) -> str | None:
    """What is wrong with a password, as a sentence; None: nothing."""
    if len(password) < SHORTEST_PASSWORD:
        return f"A password has at least {SHORTEST_PASSWORD} characters."
    if len(password) > LONGEST_PASSWORD:
        return f"A password has at most {LONGEST_PASSWORD} characters."
    told = password.casefold()
    if len(set(told)) < 4:
        return "This password repeats the same few characters."
    local = email.partition("@")[0].casefold()
    for known in (email.casefold(), local, name.casefold(), *_COMMON):
        # What is left when a known word is cut out must still be something.
        if len(known) >= 4 and known in told and len(told.replace(known, "")) < SHORTEST_PASSWORD // 2:
            return "This password is among the first that somebody would guess."
    return None
