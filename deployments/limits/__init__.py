"""How much a project and a key may use."""
