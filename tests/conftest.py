"""Fixtures for all tests."""

pytest_plugins = ["tests.browser", "tests.clusters", "tests.s3", "tests.rater_servers"]
