"""Where the rules are that `chimein rules` works on: the database here, or a server that is asked through its API."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from backend.domain.rule.exchange import exported
from backend.domain.segment_exchange import exported_segments, names_of
from backend.domain.site import Site
from backend.errors import ChimeinError, Invalid, NotFound, Unauthorized, Unavailable
from backend.ops.firstrun import read_secrets, require_data_dir
from backend.ops.schema import require_schema
from backend.pipeline.import_rules import import_rules
from backend.runtime import utc_now
from backend.schemas.rule_import import RulePlanOut
from backend.settings import Settings
from backend.storage.database import Database
from backend.storage.rules import StoredRule, list_rules
from backend.storage.segments import list_segments
from backend.storage.sites import get_site, list_sites
from backend.storage.vault import Vault

AUTHOR = "chimein rules"
"""By whom a version was written that came from a file, where no token was asked for."""

PATIENCE = 60.0
"""Seconds for which a server may take to answer."""


class Place(Protocol):
    """One site's rules."""

    @property
    def name(self) -> str:
        """How the site is called."""

    def exported(self, *, archived: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rules as they are written to files, archived ones too if wished, and the segments that they ask for."""

    def plan(self, documents: Sequence[Any], **options: Any) -> dict[str, Any]:
        """Imports them, or with `dry_run` tells what that would change; as the API answers it."""


@contextmanager
def opened(data_dir: str | None, url: str | None, token: str | None, site: str | None) -> Iterator[Place]:
    """The place that the options of a command mean."""
    if url is not None:
        yield Server(url, token, site)
        return
    settings = Settings.load(data_dir=data_dir)
    require_data_dir(settings)
    settings = read_secrets(settings)
    require_schema(settings)
    db = Database(settings.database_url)
    try:
        yield Local(db, settings, site)
    finally:
        db.close()


class Local:
    """The rules of a site in the database here; nothing else need run."""

    def __init__(self, db: Database, settings: Settings, ref: str | None) -> None:
        self.db = db
        self.settings = settings
        self.site = self._site(Vault(settings.secret_key), ref)
        self.name = self.site.name

    def _site(self, vault: Vault, ref: str | None) -> Site:
        with self.db.read() as connection:
            if ref is not None:
                found = get_site(connection, vault, ref)
                if found is None:
                    raise NotFound(f"There is no site {ref!r}.")
                return found.site
            every = list_sites(connection, vault, limit=100)
        return every[[each.site.name for each in every].index(_only([each.site.name for each in every]))].site

    def exported(self, *, archived: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        with self.db.read() as connection:
            rules = [_view(rule) for rule in list_rules(connection, self.site.id, limit=100_000)]
            found = list_segments(connection, self.site.id)
        return _exported(rules, [{**each.document, "id": each.id} for each in found], archived)

    def plan(self, documents: Sequence[Any], **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = RulePlanOut().dump(
            import_rules(
                self.db,
                self.site,
                documents,
                now=utc_now(),
                author=AUTHOR,
                allow_private=self.settings.allow_private,
                **options,
            )
        )
        return found


class Server:
    """The rules of a site of a server, through its API."""

    def __init__(self, url: str, token: str | None, ref: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"{url} is no address of chimein: it must start with http:// or https://.")
        if not token:
            raise Unauthorized("A token is needed: --token, or CHIMEIN_ADMIN_TOKEN in the environment.")
        make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection: HTTPConnection = make(parts.hostname, parts.port, timeout=PATIENCE)
        self._url, self._base, self._token = url, parts.path.rstrip("/") + "/api/v1", token
        self.name = ref or _only([each["name"] for each in self._all("/sites")])
        self._site = f"/sites/{quote(self.name, safe='')}"

    def exported(self, *, archived: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return _exported(self._all(f"{self._site}/rules"), self._all(f"{self._site}/segments"), archived)

    def plan(self, documents: Sequence[Any], **options: Any) -> dict[str, Any]:
        return self._ask("POST", f"{self._site}/rules/import", {"rules": documents, **options})

    def _all(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        asked: dict[str, Any] = {"limit": 200}
        while True:
            page = self._ask("GET", f"{path}?{urlencode(asked)}")
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            asked["cursor"] = page["next_cursor"]

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        sent = None
        if body is not None:
            sent = gzip.compress(json.dumps(body).encode())
            headers |= {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        try:
            self._connection.request(method, self._base + path, sent, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            reason = f"{type(error).__name__}: {error}"
            raise Unavailable(f"Nobody answers at {self._url} ({reason}).") from None
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Invalid(f"What answers at {self._url} is not chimein (status {response.status}).")
        if response.status >= 400:
            raise _refusal(told, response.status)
        return told


def _exported(
    rules: Sequence[Mapping[str, Any]], segments: Sequence[Mapping[str, Any]], archived: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = names_of(segments)
    kept = [each for each in exported(rules, known) if archived or each.get("status") != "archived"]
    return kept, exported_segments(kept, segments)


def _refusal(told: Mapping[str, Any], status: int) -> ChimeinError:
    message, errors = str(told.get("message", "")), told.get("errors")
    if status == 422 and isinstance(errors, dict):
        return Invalid(message, errors)
    return ChimeinError(f"The server refused (status {status}): {message}")


def _only(names: Sequence[str]) -> str:
    """The one site there is, where nobody said which."""
    if len(names) != 1:
        told = f"there are {', '.join(sorted(names)[:10])}" if names else "there is none yet; `chimein seed` makes one"
        raise NotFound(f"Which site? Name it with --site: {told}.")
    return names[0]


def _view(rule: StoredRule) -> dict[str, Any]:
    return {**rule.document, "id": rule.id, "status": rule.status}
