"""Scripts that make and measure the shipped generators; only these need scikit-learn."""
