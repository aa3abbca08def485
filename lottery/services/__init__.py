"""Every change to wheels, seeds and draws."""
