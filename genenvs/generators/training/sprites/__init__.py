"""Train the `sprites` generators from scratch, stage by stage; `__main__` runs them."""
