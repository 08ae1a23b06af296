"""The parts of the chat agent."""
