"""How much may be used, and what happens when more is asked than can be done."""
