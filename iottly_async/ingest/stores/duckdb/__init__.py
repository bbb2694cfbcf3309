"""The DuckDB store: tables and views in one file."""
