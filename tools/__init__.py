"""What can be done: subjects, dictionaries, harvest, patterns and the experiments built on them."""
