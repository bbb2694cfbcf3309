"""The Parquet store: a folder of files, and a manifest that says which of them count."""
