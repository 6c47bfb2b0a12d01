"""Is the schema there that this version works on? Asked by each process before it begins."""

from backend.errors import StartError, Unavailable
from backend.settings import Settings
from backend.storage.database import Database
from backend.storage.tables import REVISION


def require_schema(settings: Settings) -> None:
    """Raises StartError with a sentence where the database has another schema, or none.

    A database that does not answer says nothing about its schema: the process starts, and waits for it.
    """
    database = Database(settings.database_url)
    try:
        found = database.revision()
    except Unavailable:
        return
    finally:
        database.close()
    if found != REVISION:
        lacking = "no schema yet" if found is None else f"the schema of another version ({found}, not {REVISION})"
        raise StartError(f"The database has {lacking}: run `chimein migrate`.")
