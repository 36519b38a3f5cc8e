"""Who pays: banks, and what they own."""
