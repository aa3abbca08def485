"""The tool that watches: samples of the metrics, rules on them, and alerts that are told."""
