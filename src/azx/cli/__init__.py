"""The command line: a command parses, calls and prints; everything else lies in the layers."""
