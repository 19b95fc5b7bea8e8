"""Locked versions, and the installer that reads them."""
