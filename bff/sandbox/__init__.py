"""A stand-in for the Emporix API: the same paths, spellings and error shapes, and faults on demand."""
