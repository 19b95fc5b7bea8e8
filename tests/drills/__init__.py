"""Drills: one real system, broken on purpose, many times over; see docs/drills.md."""
