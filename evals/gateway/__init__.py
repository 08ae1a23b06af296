"""All traffic with language models, of judges and of agents."""
