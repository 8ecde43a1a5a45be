This is no code, but a sentence.
