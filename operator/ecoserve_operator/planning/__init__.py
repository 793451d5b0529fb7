"""From the world to a decision: the snapshot, a plan made in a child process, and what of it is taken."""
