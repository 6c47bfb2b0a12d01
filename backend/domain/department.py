"""What is a department? A group of a site's operators that conversations can be given to."""

from dataclasses import dataclass
from datetime import datetime

LONGEST_NAME = 100
MOST = 100
"""Departments of one site."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Department:
    """One department."""

    id: str
    site_id: str
    name: str
    created_at: datetime
