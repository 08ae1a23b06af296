"""One file a dictionary format, behind one Protocol."""
