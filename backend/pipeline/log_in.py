"""The verb `log in`: who an operator is, and how they come to have a password; guessing is held back."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import structlog

from backend.domain.operator import EVERY_SITE, Membership, Operator, email_of, weakness
from backend.errors import Forbidden, Invalid, NotFound, TooManyRequests, Unauthorized
from backend.pipeline.transfer import NOBODY, call_away, release
from backend.runtime import Runtime
from backend.storage import attempts, console_sessions, notices, operators, passwords
from backend.storage.database import Connection

log = structlog.get_logger(__name__)

BY_ADDRESS = (5, 5 * 60)
"""So many failed logins from one network address in so many seconds; then it must wait."""
BY_EMAIL = (10, 15 * 60)
"""So many for one e-mail address, from wherever."""

WRONG = "The e-mail address or the password is wrong."


def log_in(rt: Runtime, email: str, password: str, address: str, agent: str) -> tuple[Operator, str]:
    """The operator and the text of a new session. Unauthorized; TooManyRequests after too many attempts."""
    email = email_of(email)[:320]
    counters = (("address", address, BY_ADDRESS), ("email", email, BY_EMAIL))
    for kind, value, limit in counters:
        _count(rt, kind, value, limit)
    with rt.db.read() as connection:
        found = operators.by_email(connection, email)
        kept = None if found is None else operators.password_of(connection, found.id)
    # The hash is compared in any case, and outside of any transaction: it takes its time on purpose.
    right = passwords.matches(kept, password[:1_000])
    if not right or found is None or found.disabled_at is not None:
        log.info("login_failed", email=email[:80], address=address)
        raise Unauthorized(WRONG)
    for kind, value, _ in counters:
        attempts.forget(rt.redis, _name(rt, kind, value))
    again = passwords.hash_of(password) if passwords.outdated(kept or "") else None
    with rt.db.begin() as connection:
        if again is not None:
            operators.set_password(connection, found.id, again, rt.clock())
        text = console_sessions.start(connection, rt.sites.vault, found.id, rt.clock(), agent)
    return found, text


def first(rt: Runtime, token: str, email: str, name: str, password: str, address: str) -> Operator:
    """An administrator of every site, made by whoever has the administrator's token. Forbidden, Invalid, Conflict."""
    _count(rt, "token", address, BY_ADDRESS)
    secret = rt.settings.admin_token
    if not secret or not hmac.compare_digest(token.strip().encode("utf-8", "replace"), secret.encode()):
        raise Forbidden("This is not the administrator's token.", {"token": ["It is not this one."]})
    kept = _hashed(password, email, name)
    with rt.db.begin() as connection:
        made = operators.create(
            connection, email, name, [Membership(site_id=EVERY_SITE, role="administrator")], rt.clock()
        )
        operators.set_password(connection, made.id, kept, rt.clock())
    attempts.forget(rt.redis, _name(rt, "token", address))
    return made


def invite(rt: Runtime, email: str, name: str, given: Sequence[Membership]) -> tuple[Operator, str]:
    """A new operator, and the text of the link by which they choose a password. Conflict."""
    with rt.db.begin() as connection:
        made = operators.create(connection, email, name, given, rt.clock())
        return made, operators.invite(connection, rt.sites.vault, made.id, rt.clock())


def reset(rt: Runtime, operator_id: str) -> str:
    """The text of a link by which an operator chooses another password; until then they have none, and are out."""
    with rt.db.begin() as connection:
        if operators.find(connection, operator_id) is None:
            raise NotFound("There is no such operator.")
        operators.set_password(connection, operator_id, None, rt.clock())
        shut_out(connection, operator_id)
        text = operators.invite(connection, rt.sites.vault, operator_id, rt.clock())
    call_away(rt, operator_id)
    return text


def link_to(rt: Runtime, text: str, address: str | None = None) -> str:
    """The address of an invitation, below the `address` of web."""
    return f"{address or rt.settings.public_url}/console/invited/{text}"


def choose_password(rt: Runtime, text: str, password: str) -> Operator:
    """Takes the password of whoever has this link, which works once. NotFound, Invalid."""
    with rt.db.read() as connection:
        found = operators.invited(connection, rt.sites.vault, text, rt.clock())
    if found is None:
        raise NotFound("This link has been used, or is too old. Ask for another one.")
    kept = _hashed(password, found.email, found.name)
    with rt.db.begin() as connection:
        if not operators.take_link(connection, rt.sites.vault, text):
            raise NotFound("This link has been used.")
        operators.set_password(connection, found.id, kept, rt.clock())
        shut_out(connection, found.id)
    call_away(rt, found.id)
    return found


def disable(rt: Runtime, operator_id: str, *, off: bool = True, heirs: Mapping[str, str] = NOBODY) -> None:
    """Shuts an operator out at once, or (`off` false) lets them in again; `heirs` as in `release`. NotFound."""
    with rt.db.begin() as connection:
        if operators.find(connection, operator_id) is None:
            raise NotFound("There is no such operator.")
        operators.disable(connection, operator_id, rt.clock(), off=off)
        shut_out(connection, operator_id)
    if off:
        release(rt, operator_id, heirs)


def change_password(rt: Runtime, operator: Operator, session: str, before: str, password: str) -> int:
    """Takes another password from who knows theirs, and ends their sessions but this one; answers how many ended.

    Invalid, with the field (`before` or `password`); TooManyRequests after too many guesses.
    """
    _count(rt, "email", operator.email, BY_EMAIL)
    with rt.db.read() as connection:
        kept = operators.password_of(connection, operator.id)
    if not passwords.matches(kept, before[:1_000]):
        log.info("password_not_changed", email=operator.email[:80])
        raise Invalid("This is not your password.", {"before": ["This is not your password."]})
    again = _hashed(password, operator.email, operator.name)
    attempts.forget(rt.redis, _name(rt, "email", operator.email))
    with rt.db.begin() as connection:
        operators.set_password(connection, operator.id, again, rt.clock())
    return end_others(rt, operator.id, session)


def end_others(rt: Runtime, operator_id: str, session: str) -> int:
    """Ends an operator's logins but that of this cookie, and that they are called there; answers how many."""
    with rt.db.begin() as connection:
        ended = console_sessions.end_others(connection, rt.sites.vault, operator_id, session)
        notices.operator_out(connection, operator_id, but=console_sessions.digest_of(rt.sites.vault, session))
    call_away(rt, operator_id)
    return ended


def log_out(rt: Runtime, text: str) -> None:
    """Ends the session of a cookie: nobody is called in its browser any more, whether that can be told so or not."""
    with rt.db.begin() as connection:
        session = console_sessions.find(connection, rt.sites.vault, text, rt.clock())
        notices.session_over(connection, console_sessions.end(connection, rt.sites.vault, text))
    if session is not None:
        call_away(rt, session.operator_id)


def expire(rt: Runtime) -> int:
    """Removes the sessions that are over; returns how many.

    Who was idle for long is called all the same, which is what notices are for; until the login is too old.
    """
    with rt.db.begin() as connection:
        notices.expire(connection, rt.clock() - console_sessions.ABSOLUTE)
        return console_sessions.expire(connection, rt.clock())


def shut_out(connection: Connection, operator_id: str) -> None:
    """Ends all of an operator's logins, and that they are called in those browsers."""
    console_sessions.end_all(connection, operator_id)
    notices.operator_out(connection, operator_id)


def _hashed(password: str, email: str, name: str) -> str:
    weak = weakness(password, email_of(email), name)
    if weak is not None:
        raise Invalid(weak, {"password": [weak]})
    return passwords.hash_of(password)


def _count(rt: Runtime, kind: str, value: str, limit: tuple[int, int]) -> None:
    most, seconds = limit
    name = _name(rt, kind, value)
    if attempts.count(rt.redis, name, seconds) > most:
        wait = attempts.left(rt.redis, name)
        minutes = -(-wait // 60)
        told = f"Too many attempts. Try again in {minutes} minute{'' if minutes == 1 else 's'}."
        raise TooManyRequests(told, retry_after=wait)


def _name(rt: Runtime, kind: str, value: str) -> str:
    # Keyed: neither addresses nor what somebody typed by mistake into the field lies in Redis to be read.
    key = rt.settings.secret_key.encode()
    return f"{kind}:{hmac.new(key, value.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:32]}"
