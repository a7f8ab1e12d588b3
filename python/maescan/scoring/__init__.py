"""Scoring folders of scans: the streaming pipeline and what it writes."""
