"""What every test shares. The one running system per session is started only for who asks."""

from tests.fixtures.system import system

__all__ = ["system"]
