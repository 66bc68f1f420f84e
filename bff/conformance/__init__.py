"""Checks a running deployment from outside against the security checklists."""
