"""The console's pages, one module for each kind of row. Importing a module registers its pages."""

from lottery.admin import draws, pity_counters, prizes, seeds, versions, wheels

__all__ = ["draws", "pity_counters", "prizes", "seeds", "versions", "wheels"]
