"""The DuckDB store: a file with rows and cursors in one transaction."""
