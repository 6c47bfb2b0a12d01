"""A column for sums that may outgrow 64 bits."""

from typing import Any

from sqlalchemy import BigInteger, Dialect, Numeric, TypeDecorator
from sqlalchemy.types import TypeEngine


class Whole(TypeDecorator[int]):
    """A sum that hostile numbers must not make fail: beyond 64 bits SQLite goes on with a float, PostgreSQL exactly."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Decimals of 38 digits on PostgreSQL."""
        wide = Numeric(38, 0) if dialect.name == "postgresql" else BigInteger()
        return dialect.type_descriptor(wide)

    def process_result_value(self, value: Any, _dialect: Dialect) -> int | None:
        """Whole numbers as Python knows them."""
        return None if value is None else int(value)
