"""Measurements of the library, as ratios taken in one run.

A module here that has a docstring and a function `main(argv)` is a benchmark. Its `main`
returns or yields the rows of the table (`Figure`, `NotRun`), or returns None. A benchmark
with a list of arguments `QUICK` runs with them when no benchmark is named.
"""
