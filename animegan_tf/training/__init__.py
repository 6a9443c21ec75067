"""Training: what is minimised (objective), one step of it (trainer), and a whole resumable run (run)."""
