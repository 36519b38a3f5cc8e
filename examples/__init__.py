"""Small services, each runnable alone; see README.md."""
