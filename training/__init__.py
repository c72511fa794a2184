"""From SmolLM2 to the model that ships: data, training, evaluation, export. Each is a command: `python -m training.X --help`."""
