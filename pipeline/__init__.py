"""Configuration, plan, run directory, readers, writer, reports and engines of Tamis."""

__version__ = "0.1.0"
