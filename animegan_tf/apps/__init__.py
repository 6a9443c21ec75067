"""What users start: the command line, the web demo, the tools built on the runtime."""
