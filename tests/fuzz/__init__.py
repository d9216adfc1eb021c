"""Coverage-guided fuzzing: bytes that nobody would think of, and what must hold whatever they are.

Each target has a module: what it makes of the bytes, and what must hold. C{corpus} keeps inputs that reach much;
fuzzing starts from them, and the unit tests replay them.
"""
