"""The PostgreSQL store: rows and cursors in one transaction."""
