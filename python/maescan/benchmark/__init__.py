"""`maescan bench`: how many scans per hour a machine scores, where the time goes, how far that is from its limit."""
