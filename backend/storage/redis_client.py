"""How a Redis is reached: a single one, one that Sentinel watches over, or a cluster."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
import structlog
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel

REPLY_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2.0

MOST_CONNECTIONS = 64
"""Of one client. Whoever needs one more waits: thousands of streams have their heartbeat at the same moment."""

log = structlog.get_logger(__name__)


def connect(url: str) -> Any:
    """A client for an URL: `redis`, `rediss`, `unix`, `redis+sentinel://host,host/service/db`, `redis+cluster://host,host`.

    Nothing is asked of the server before the first command.
    """
    if url.startswith("redis+cluster://"):
        return _cluster(url)
    if url.startswith("redis+sentinel://"):
        return _watched(url)
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=REPLY_TIMEOUT,
        socket_timeout=REPLY_TIMEOUT,
        socket_connect_timeout=CONNECT_TIMEOUT,
    )
    return redis.Redis.from_pool(pool)


def _cluster(url: str) -> Any:
    nodes = [ClusterNode(host, port) for host, port in _places(url, 6379)]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=nodes, socket_timeout=REPLY_TIMEOUT)


def _watched(url: str) -> Any:
    """The master of a service; the client finds the new one after a failover."""
    parts = urlsplit(url)
    service, _, number = parts.path.strip("/").partition("/")
    options: dict[str, Any] = {"socket_timeout": REPLY_TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT}
    if parts.password:
        options |= {"username": unquote(parts.username or "") or None, "password": unquote(parts.password)}
    asked = dict(parse_qsl(parts.query))
    watchers = {"password": asked["sentinel_password"]} if "sentinel_password" in asked else {}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        _places(url, 26379), sentinel_kwargs={"socket_timeout": CONNECT_TIMEOUT, **watchers}
    )
    return sentinel.master_for(service or "mymaster", db=int(number or 0), **options)  # type: ignore[no-untyped-call]


def _places(url: str, usual_port: int) -> list[tuple[str, int]]:
    """The hosts and ports that an URL names, separated by commas."""
    named = urlsplit(url).netloc.rpartition("@")[2].split(",")
    found = [each.rpartition(":") if ":" in each else (each, "", "") for each in named if each]
    return [(host, int(port or usual_port)) for host, _, port in found]


def rewrite(client: Any) -> bool:
    """Lets Redis write its file anew: what was removed from memory is still in it. False where it is at it already.

    A server that does not let us is somebody else's, and so is its file.
    """
    try:
        client.bgrewriteaof()
    except redis.RedisError as error:
        log.warning("redis_not_rewritten", reason=str(error)[:200])
        return "in progress" not in str(error)
    return True
