"""A database of the version before: its rules and those who are in them go on as they did."""

import json
from collections.abc import Iterator

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from backend.storage import enrolments, rules
from backend.storage.database import MIGRATIONS, Database, migrate
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.postgres import start_postgres

RULE = {"name": "r", "trigger": {"event": "A"}, "delay": "30m", "message": {"channels": ["popup"], "variants": []}}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def before(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[str]:
    """The address of a database of version 0001."""

    def made(url: str) -> str:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["url"] = Database(url).engine.url
        command.upgrade(config, "0001")
        return url

    if request.param == "sqlite":
        yield made(f"sqlite:///{tmp_path}/old.db")
    else:
        with start_postgres() as url:
            yield made(url)


def test_a_database_of_the_version_before_goes_on(before: str) -> None:
    db = Database(before)
    trigger = {"message_id": "m", "name": "A", "type": "track", "timestamp": "2026-03-01T09:00:00Z"}
    trigger["received_at"] = trigger["timestamp"]
    shared = {"site_id": "s", "visitor_id": "v", "key": "", "entered_at": trigger["timestamp"], "trigger": trigger}
    with db.begin() as connection:
        for rule_id, version, document in (("r1", 3, RULE), ("r2", 1, RULE | {"delay": "0s"})):
            connection.execute(
                sqlalchemy.text("INSERT INTO rules VALUES (:id, 's', 'active', :version, :document, 1, 2)"),
                {"id": rule_id, "version": version, "document": json.dumps(document)},
            )
        for number, (rule_id, outcome) in enumerate((("r1", None), ("r1", "sent"), ("r2", None), ("r2", "skipped"))):
            document = shared | {
                "id": f"e{number}",
                "rule_id": rule_id,
                "rule_version": 1,
                "due_at": "2026-03-01T09:30:00Z",
                "outcome": outcome,
                "reason": "cap" if outcome == "skipped" else None,
            }
            status = "waiting" if outcome is None else "ended"
            connection.execute(
                sqlalchemy.text("INSERT INTO enrolments VALUES ('v', :id, 's', :rule, :status, 1, 2, :document)"),
                {"id": f"e{number}", "rule": rule_id, "status": status, "document": json.dumps(document)},
            )
    migrate(before)
    with db.read() as connection:
        found = {each.id: each for each in enrolments.of_visitors(connection, ["v"])}
        assert (found["e0"].rule_version, found["e0"].position) == (3, 1), "it waits behind the delay"
        assert (found["e2"].rule_version, found["e2"].position) == (1, 0)
        assert found["e1"].rule_version == 1
        assert enrolments.count_in_rule(connection, "r1") == 1
        assert enrolments.count_in_rule(connection, "r1", before=3) == 0
        [skipped] = enrolments.list_of_rule(connection, "r2", 10, outcome="skipped", reason="cap")
        assert skipped.id == "e3"
        [kept] = rules.list_versions(connection, "s", "r1", limit=10)
        assert (kept.version, kept.document) == (3, RULE)
    db.close()
