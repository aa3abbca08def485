"""An app of the tests that does something after a restore."""
