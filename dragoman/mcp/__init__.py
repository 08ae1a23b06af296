"""The toolbox, features, labels and runs over the Model Context Protocol, for Claude, IDEs and other programs with agents."""
