"""The steps that change values in ways that SQL alone cannot."""
