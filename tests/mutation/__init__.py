"""Faults that the tests must notice: a list of one-line changes, and a runner that tries each on a copy of the tree."""
