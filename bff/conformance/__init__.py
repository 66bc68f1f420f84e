"""The outside-checkable part of the security checklists, run against any deployment."""
