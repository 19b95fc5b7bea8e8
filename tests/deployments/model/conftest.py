"""Fixtures of the model's tests."""

from tests.fixtures.s3 import s3_options
from tests.fixtures.tiny_vllm import tiny_vllm

__all__ = ["s3_options", "tiny_vllm"]
