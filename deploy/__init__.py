"""Running the engine on more than one machine."""
