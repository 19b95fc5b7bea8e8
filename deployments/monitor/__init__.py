"""The Monitor: the actor that watches over what runs while people use the system."""
