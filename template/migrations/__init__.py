"""The revisions of the database (`versions/`), and how Alembic applies them."""
