"""The verb `remove`: a site goes, with everything that is kept of it."""

from backend.runtime import Runtime
from backend.storage import files
from backend.storage.sites import clear_site, delete_site, silence_site

VISITORS_AT_ONCE = 200
"""Visitors a transaction: a large site must not keep the other writers waiting."""


def remove_site(rt: Runtime, site_id: str) -> None:
    """Removes the site and all its data; when it is cut short, the site is still there and it can be called again."""
    with rt.db.begin() as conn:
        silence_site(conn, site_id)
    while True:
        with rt.db.begin() as conn:
            if not clear_site(conn, site_id, VISITORS_AT_ONCE):
                break
    files.forget_site(rt.settings.data_dir, site_id)
    with rt.db.begin() as conn:
        delete_site(conn, site_id)
    rt.sites.forget()
