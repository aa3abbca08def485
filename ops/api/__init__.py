"""The API's form: how every view of every app reads, answers and refuses."""
