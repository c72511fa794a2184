"""Inkblot's page and command line. Empty on purpose: importing a submodule must not load Gradio by accident."""
