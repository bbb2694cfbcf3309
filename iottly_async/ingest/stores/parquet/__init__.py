"""The Parquet store: a folder of files and a manifest that lists them."""
