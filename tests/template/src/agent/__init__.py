"""A project that somebody has just started."""
