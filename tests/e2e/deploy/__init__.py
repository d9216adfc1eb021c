"""What deploy/ has for people to copy: each file is read by the software it is for, and run where that is possible."""
