"""What every app may use of the platform's floor, one module for each need."""
