"""Fixtures of the model's tests."""

from tests.fixtures.s3 import s3_options

__all__ = ["s3_options"]
