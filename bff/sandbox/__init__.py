"""A simulation of the Emporix API, with the same paths, names and error formats, and with fault injection."""
