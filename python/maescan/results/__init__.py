"""What is written of a scored scan: report and pictures."""
