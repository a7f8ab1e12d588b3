"""`maescan bench`: how many scans an hour this machine scores, where the time goes, how far that is from its limit."""
