"""Fixtures for all tests."""

pytest_plugins = ["tests.clusters", "tests.s3", "tests.rater_servers"]
