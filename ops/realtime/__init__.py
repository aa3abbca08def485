"""Telling sockets what was committed: sending on any process, handing on where the sockets are."""
