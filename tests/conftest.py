"""Fixtures for all tests."""

pytest_plugins = ["tests.s3", "tests.rater_servers"]
