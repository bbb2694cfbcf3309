"""The PostgreSQL store: tables and views in one schema of a database."""
