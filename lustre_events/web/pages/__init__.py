"""The pages of the console: one module for each, named after the first part of its address."""
