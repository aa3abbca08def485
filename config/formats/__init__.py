"""How values are written where a language of the console writes them otherwise than Django does."""
