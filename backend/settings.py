"""Every setting, read once: environment variables `CHIMEIN_*`, each also as `NAME_FILE`, and a `.env` file."""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values

from backend.errors import SettingsError

PREFIX = "CHIMEIN_"
SQL = ("sqlite", "postgresql", "postgresql+psycopg", "postgres")
REDIS = ("redis", "rediss", "unix", "redis+sentinel")

FOR_TESTS = frozenset({"CHIMEIN_CRASH_AT", "CHIMEIN_TEST_DATA"})
"""Variables with our prefix that are no settings: see `pipeline/faults.py`, and where tests find real events."""

Parser = Callable[[str], Any]


def _integer(low: int, high: int, text: str) -> int:
    """The whole number that `text` says, within [low, high]; `512k`, `64m`, `1g` are understood as bytes."""
    match = re.fullmatch(r"(\d{1,18})([kmg]?)b?", text.strip().lower())
    number = int(match[1]) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[match[2]] if match else None
    if number is None or not low <= number <= high:
        raise ValueError(f"must be a whole number from {low} to {high}")
    return number


def _choice(allowed: tuple[str, ...], text: str) -> str:
    if (value := text.strip().lower()) not in allowed:
        raise ValueError("must be one of " + ", ".join(allowed))
    return value


def _url(schemes: tuple[str, ...], text: str) -> str:
    """A URL of one of the schemes; one of a page without a slash at its end."""
    value = text.strip().rstrip("/") if schemes[0].startswith("http") else text.strip()
    if value.partition(":")[0].lower() not in schemes:
        raise ValueError("must be a URL that starts with " + " or ".join(f"{name}:" for name in schemes))
    try:
        for address in urlsplit(value).netloc.rpartition("@")[2].split(","):  # a cluster has several
            _ = urlsplit(f"//{address}").port
    except ValueError:
        raise ValueError("holds a port that is not a number up to 65535") from None
    return value


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _text(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("must be one line without control characters")
    return text.strip()


def _private(text: str) -> str:
    """Hosts, `host:port`, IP addresses and networks, each in one way of writing it, separated by commas."""
    return ",".join(dict.fromkeys(map(_place, filter(None, re.split(r"[\s,]+", text)))))


def _place(entry: str) -> str:
    try:
        if "/" in entry and "//" not in entry:
            return str(ip_network(entry))
        with suppress(ValueError):
            return str(ip_address(entry))
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", entry.lower())
        if found is None or not 0 < int(found[2] or 1) < 65536:
            raise ValueError
        host = str(ip_address(found[1].strip("[]"))) if found[1].startswith("[") else found[1].rstrip(".")
        label = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
        if ":" not in host and not re.fullmatch(rf"({label}\.)*{label}", host):
            raise ValueError
        if re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", host):
            ip_address(host)  # what looks like a number must be a whole address
    except ValueError as error:
        hint = " (its last bits must be 0)" if "host bits" in str(error) else ""
        raise ValueError(
            f"must list hosts, host:port, IP addresses or networks such as 10.0.0.0/8; {entry[:100]!r} is none{hint}"
        ) from None
    if found[2] is None:
        return host
    return f"[{host}]:{int(found[2])}" if ":" in host else f"{host}:{int(found[2])}"


def _domain(text: str) -> str:
    value = text.strip().rstrip(".").lower()
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if len(value) > 190 or not re.fullmatch(rf"({label}\.)*{label}", value):
        raise ValueError("must be a domain such as mail.shop.example")
    return value


def _secret(text: str) -> str:
    if len(value := _text(text)) < 8:
        raise ValueError("must have at least 8 characters")
    return value


def _token(text: str) -> str:
    """A Bearer token of the owner's own choice: how long it must be is theirs to judge."""
    value = _text(text)
    if " " in value:
        raise ValueError("must not hold spaces")
    return value


def _setting(default: Any, parser: Parser, about: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parser": parser, "about": about, "secret": secret})


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """How this installation runs; made by `Settings.load`, never changed, and safe to print."""

    host: str = _setting("127.0.0.1", _text, "the address that web and live listen on")
    port: int = _setting(8000, partial(_integer, 1, 65535), "the port of web")
    live_port: int = _setting(0, partial(_integer, 1, 65535), "the port of live; PORT + 1")
    data_dir: Path = _setting(Path("var"), _path, "where everything is kept that outlives a process")  # noqa: RUF009
    public_url: str = _setting("", partial(_url, ("http", "https")), "how browsers reach web; http://HOST:PORT")
    live_url: str = _setting(
        "", partial(_url, ("http", "https")), "how browsers reach live; the host of PUBLIC_URL with LIVE_PORT"
    )
    database_url: str = _setting("", partial(_url, SQL), "SQLite or PostgreSQL; SQLite in the data directory")
    redis_url: str = _setting(
        "",
        partial(_url, REDIS),
        "Redis or Valkey; empty: an embedded one in the data directory",
    )
    log_url: str = _setting("", partial(_url, (*REDIS, "redis+cluster")), "the Redis of the log; REDIS_URL")
    smtp_url: str = _setting("", partial(_url, ("smtp", "smtps")), "the mail server; empty: .eml files in DIR/outbox")
    mail_from: str = _setting("chimein <chimein@localhost>", _text, "the sender of mails")
    mail_reply_domain: str = _setting(
        "", _domain, "the domain of addresses for answers, reply+TOKEN@DOMAIN; the sender's, where MAIL_IN is set"
    )
    mail_in: str = _setting(
        "", partial(_url, ("smtp", "lmtp")), "where `mail-in` listens, smtp://127.0.0.1:2525; set: `up` starts it"
    )
    mail_in_secret: str = _setting(
        "", _secret, "what a mail provider shows at /v1/mail/inbound; empty: a site's keys only", secret=True
    )
    secret_key: str = _setting("", _secret, "signs links and tokens; made at first start", secret=True)
    admin_token: str = _setting("", _token, "Bearer token of an administrator; made at first start", secret=True)
    metrics_token: str = _setting("", _token, "Bearer token for /metrics from afar; empty: loopback only", secret=True)
    proxies: int = _setting(0, partial(_integer, 0, 9), "reverse proxies in front, whose X-Forwarded-* is believed")
    caller_rate: int = _setting(
        1_000, partial(_integer, 0, 10**6), "reports of events a second that one address may send; 0: any number"
    )
    partitions: int = _setting(4, partial(_integer, 1, 1024), "into how many streams the log is split; fixed for good")
    log_max_bytes: int = _setting(
        256 * 2**20, partial(_integer, 2**20, 2**50), "events waiting in the log above which collectors answer 503"
    )
    allow_private: str = _setting(
        "", _private, "hosts, host:port, networks that webhooks may call though private, by http and on any port too"
    )
    fsync: str = _setting("everysec", partial(_choice, ("everysec", "always")), "when the embedded Redis syncs to disk")
    log_level: str = _setting("info", partial(_choice, ("debug", "info", "warning", "error")), "what is logged")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """The settings of `environ` (None: of this process, and `.env` here for what it leaves out).

        Overrides win, save those that are None. A name that is unknown and a value that is wrong raise SettingsError.
        """
        if environ is None:
            dotenv = {name: value or "" for name, value in dotenv_values(Path.cwd() / ".env").items()}
            environ = {**dotenv, **os.environ}
        raw = _collect(environ, {item.name for item in fields(cls)})
        raw.update(
            {
                name: (f"--{name.replace('_', '-')}", str(value))
                for name, value in overrides.items()
                if value is not None
            }
        )
        values: dict[str, Any] = {}
        for item in fields(cls):
            source, text = raw.pop(item.name, ("", ""))
            if not text:
                continue
            try:
                values[item.name] = item.metadata["parser"](text)
            except ValueError as error:
                said = "" if item.metadata["secret"] else f" (it is {_masked(text)!r})"
                raise SettingsError(f"{source} {error}{said}.") from None
        if raw:
            raise SettingsError(f"There is no setting named {', '.join(sorted(raw))}.")
        return cls(**values)

    def __post_init__(self) -> None:
        """Fills in what follows from other settings."""
        fill = partial(object.__setattr__, self)
        fill("data_dir", self.data_dir.expanduser().absolute())
        if not self.live_port:
            if self.port == 65535:
                raise SettingsError("CHIMEIN_PORT 65535 leaves no next port for live: set CHIMEIN_LIVE_PORT.")
            fill("live_port", self.port + 1)
        if self.live_port == self.port:
            raise SettingsError("CHIMEIN_LIVE_PORT and CHIMEIN_PORT must differ.")
        if not self.public_url:
            fill("public_url", f"http://{_reachable(self.host)}:{self.port}")
        if not self.live_url:
            public = urlsplit(self.public_url)
            fill("live_url", f"{public.scheme}://{_bracketed(public.hostname or '')}:{self.live_port}")
        if not self.database_url:
            fill("database_url", f"sqlite:///{self.data_dir / 'chimein.db'}")
        # SQLAlchemy takes bare postgresql:// for psycopg2, and Heroku's postgres:// for nothing at all.
        fill("database_url", re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self.database_url))
        if not self.log_url:
            fill("log_url", self.redis_url)

    def with_redis(self, url: str) -> Self:
        """The same settings, with the Redis that was found or started for them."""
        return replace(self, redis_url=url, log_url=self.log_url or url)

    def environ(self) -> dict[str, str]:
        """The variables from which another process loads these settings."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {PREFIX + name.upper(): str(value) for name, value in values.items() if value != ""}

    def __repr__(self) -> str:
        shown = []
        for item in fields(self):
            value = getattr(self, item.name)
            if value and item.metadata["secret"]:
                value = "***"
            shown.append(f"{item.name}={_masked(str(value))!r}")
        return f"Settings({', '.join(shown)})"


def variables() -> dict[str, str]:
    """Each environment variable's name and one line about it, in the order of the settings."""
    return {PREFIX + item.name.upper(): item.metadata["about"] for item in fields(Settings)}


def _collect(environ: Mapping[str, str], known: set[str]) -> dict[str, tuple[str, str]]:
    """By setting: the variable that names it and its text; a NAME_FILE is read."""
    found: dict[str, tuple[str, str]] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in FOR_TESTS or not text:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in known and name.endswith("_file"):
            name = name.removesuffix("_file")
            if name in known:
                text = _read(variable, text)
        if name not in known:
            raise SettingsError(f"{variable} is no setting of chimein.{_nearest(variable)}")
        if name in found:
            raise SettingsError(f"{found[name][0]} and {variable} are both set: keep one.")
        found[name] = (variable, text)
    return found


def _nearest(variable: str) -> str:
    # Without what all of them begin with: it would make any two alike.
    names = [name.removeprefix(PREFIX) for name in variables()]
    known = [*names, *(f"{name}_FILE" for name in names)]
    close = difflib.get_close_matches(variable.removeprefix(PREFIX), known, n=1, cutoff=0.5)
    return f" Did you mean {PREFIX}{close[0]}?" if close else ""


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise SettingsError(f"{variable} names a file that cannot be read: {path} ({reason}).") from None


def _masked(text: str) -> str:
    """The text without the password of a URL in it."""
    return re.sub(r"(://[^/@:]*:)[^@]*@", r"\1***@", text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reachable(host: str) -> str:
    """The host as a browser on this machine names it: a wildcard address is nowhere to go to."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host) or _bracketed(host)  # noqa: S104
