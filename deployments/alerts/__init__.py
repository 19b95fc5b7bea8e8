"""Alerts, and their delivery."""
