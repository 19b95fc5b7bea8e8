"""What every test shares. The one running system per session is started only for who asks."""

from hypothesis import settings

from tests.fixtures.system import system

__all__ = ["system"]

# Hypothesis would fail an example that took 200 ms, which on a busy machine any of them may.
settings.register_profile("everloop", deadline=None)
settings.load_profile("everloop")
