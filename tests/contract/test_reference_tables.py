"""Sites, rules and tokens are kept alike on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.domain.rule import parse_rule
from backend.errors import Conflict, SettingsError
from backend.storage import rules, sites, tokens
from backend.storage.database import Database, migrate
from backend.storage.vault import Vault
from tests.contract.conftest import RULE
from tests.postgres import start_postgres

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
KEY = "a secret of the tests"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    def opened(url: str) -> Iterator[Database]:
        migrate(url)
        database = Database(url)
        yield database
        database.close()

    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("reference")
        yield from opened(f"sqlite:///{folder / 'chimein.db'}")
    else:
        with start_postgres() as url:
            yield from opened(url)


@pytest.fixture
def vault() -> Vault:
    return Vault(KEY)


@pytest.fixture
def site_id(db: Database, vault: Vault) -> Iterator[str]:
    with db.begin() as conn:
        made = sites.create_site(conn, vault, sites.new_site("shop"), NOW).site.id
    yield made
    with db.begin() as conn:
        sites.delete_site(conn, made)


def test_a_site_reads_as_it_was_written(db: Database, vault: Vault, site_id: str) -> None:
    with db.begin() as conn:
        stored = sites.get_site(conn, vault, "shop")
        assert stored is not None
        assert stored == sites.get_site(conn, vault, site_id)
        assert stored.created_at == NOW
        changed = replace(stored.site, origins=("https://a.example",), currency="EUR", name="Büro ☕")
        sites.update_site(conn, vault, changed)
        again = sites.get_site(conn, vault, "Büro ☕")
        assert again is not None
        assert again.site == changed


def test_a_taken_name_or_key_is_a_conflict_that_says_which(db: Database, vault: Vault, site_id: str) -> None:
    with db.read() as conn:
        stored = sites.get_site(conn, vault, site_id)
    assert stored is not None
    for other, taken in (
        (sites.new_site("shop"), "name"),
        (replace(sites.new_site("another"), write_key=stored.site.write_key), "write_key"),
    ):
        with pytest.raises(Conflict) as caught, db.begin() as conn:
            sites.create_site(conn, vault, other, NOW)
        assert set(caught.value.errors) == {taken}


def test_under_another_secret_key_the_start_stops_with_a_sentence(db: Database, site_id: str) -> None:
    with db.read() as conn, pytest.raises(SettingsError, match="CHIMEIN_SECRET_KEY"):
        sites.get_site(conn, Vault("another secret key"), site_id)


def test_rules_keep_their_versions_and_the_stamp_follows(db: Database, site_id: str) -> None:
    spec = parse_rule(RULE)
    with db.begin() as conn:
        before = rules.stamp(conn)
        made = rules.create_rule(conn, site_id, spec, status="active", now=NOW)
        stamps = [before, rules.stamp(conn)]
        replaced = rules.replace_rule(conn, site_id, made.id, spec, now=NOW + timedelta(seconds=1))
        stamps.append(rules.stamp(conn))
        paused = rules.set_status(conn, site_id, made.id, "paused", now=NOW - timedelta(days=9000))
        stamps.append(rules.stamp(conn))
        assert replaced is not None
        assert paused is not None
        assert (replaced.version, paused.version, paused.status) == (2, 2, "paused")
        assert made.updated_at < replaced.updated_at < paused.updated_at
        assert len(set(stamps)) == 4
        (loaded,) = rules.load_rules(conn)
        assert (loaded.id, loaded.status, loaded.version, loaded.spec) == (made.id, "paused", 2, spec)
        assert rules.get_rule(conn, "0" * 32, made.id) is None
        assert not rules.delete_rule(conn, "0" * 32, made.id)
        assert rules.delete_rule(conn, site_id, made.id)
        assert rules.stamp(conn) == before


def test_tokens_and_lists_go_on_behind_a_place(db: Database, vault: Vault, site_id: str) -> None:
    with db.begin() as conn:
        made = [
            tokens.create_token(conn, vault, name=str(number), role="operator", site_id=site_id, now=NOW)
            for number in range(5)
        ]
        listed = tokens.list_tokens(conn, site_id=site_id, limit=3)
        listed += tokens.list_tokens(conn, site_id=site_id, limit=3, after=tokens.place(listed[-1]))
        assert listed == sorted((token for token, _ in made), key=lambda token: token.id)
        assert [tokens.find_token(conn, vault, text) for _, text in made] == [token for token, _ in made]


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "x" * 100_000, "ключ", "' OR 1=1 --"])
def test_a_key_that_no_database_could_hold_belongs_to_nobody(db: Database, site_id: str, key: str) -> None:
    cache = sites.SiteCache(db, KEY)
    assert cache.by_write_key(key) is cache.by_id(key) is cache.by_ref(key) is None
