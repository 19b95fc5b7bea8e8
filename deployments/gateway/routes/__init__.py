"""The routes, one resource per module; each exports `router`."""
