"""Measurements of the library, as ratios taken in one run.

A module here that has a docstring and a function `main(argv)` is a benchmark; it prints
what it measures and returns its `Figure`s, or None. One that has `QUICK`, a list of
arguments, is run with them when all are run.
"""
