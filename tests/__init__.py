"""The tests: one claim each, which is its docstring."""
