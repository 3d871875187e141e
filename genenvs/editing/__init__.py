"""Editing: styles of hidden editors, their films, and the briefs and pools that follow."""
