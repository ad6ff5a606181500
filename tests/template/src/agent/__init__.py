"""A project that somebody has just begun."""
