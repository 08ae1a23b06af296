"""The tools that agents, chat and MCP share, a file an idea; `dragoman.tools.toolbox` hands them out."""
