"""Every operation that changes receipts, by family."""
