"""The benchmark: speed, memory and start of what is shipped, beside what others published; one room, one command."""
