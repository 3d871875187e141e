"""Physics engines behind one small interface: build bodies, let them settle, say what moved."""
