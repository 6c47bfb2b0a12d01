"""How alembic reaches the database: the address is handed over by `backend.storage.database.migrate`."""

from alembic import context
from sqlalchemy import create_engine, pool

from backend.storage.catalogue_tables import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.commit()  # else alembic writes its version into a transaction that nobody ends
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
