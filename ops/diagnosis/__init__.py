"""What is wrong with the database, why, and what mends it: `manage.py diagnose_db`."""
