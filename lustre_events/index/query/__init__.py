"""The query language: tokens, parser, tree, and what a node means for one document."""
