"""Files of other tools: a store's contents out, other people's labels and scores in."""
