"""The checks that guards are made of."""
