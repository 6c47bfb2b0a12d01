"""What `chimein up` does to the database before its processes start."""

from backend.errors import NotFound
from backend.pipeline.seed import seed_demo
from backend.runtime import open_runtime
from backend.settings import Settings
from backend.storage.database import migrate
from backend.storage.sites import get_site
from backend.web.demo.rules import ready_rules


def prepare(settings: Settings) -> None:
    """Brings the database to this version's schema, and makes the demo site where there is no site yet."""
    migrate(settings.database_url)
    seed(settings)


def seed(settings: Settings, *, again: bool = False) -> bool:
    """Makes the demo site with its ready rules; False where nothing was to be done."""
    with open_runtime(settings) as rt:
        return seed_demo(rt, ready_rules(), again=again)


def write_key(settings: Settings, name: str) -> str:
    """The write key of a site, found by its id or its name."""
    with open_runtime(settings) as rt, rt.db.read() as connection:
        site = get_site(connection, rt.sites.vault, name)
    if site is None:
        raise NotFound(f"There is no site {name!r}.")
    return str(site.site.write_key)
