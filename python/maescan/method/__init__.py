"""The paper's steps, and the one path from slices to scores."""
