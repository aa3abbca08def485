"""Tests of the platform as a whole; each app's own tests live in its `tests` package."""
