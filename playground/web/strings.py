"""The words on the page that more than one place needs. Each model's own words come with the model."""

NAME = "Inkblot"
TAGLINE = "Watch a language model write by denoising"
TITLE = f"{NAME} \u00b7 text diffusion playground"
EXAMPLES = (
    "Why is the sky blue?",
    "Write a short story about a fox who learns to paint.",
    "List five ways to save water at home.",
    "Write a friendly letter to a new neighbour.",
    "Explain how a bicycle stays upright.",
    "Give me a simple recipe for pancakes.",
    "Describe a rainy evening in a small town.",
    "What should I see in Rome in one day?",
)
CHIPS = ("Blue sky", "A fox", "Saving water", "A letter", "A bicycle", "Pancakes", "Rain", "Rome")  # the examples in a word or two
CHOICES = {  # how choices read on the page
    "diffusion": "Denoise", "ar": "Left to right", "schedule": "planned count", "threshold": "sure enough", "factor": "sum of doubts",
    "entropy": "budget of entropy", "left_to_right": "left to right", "proportional": "drawn by probability", "random": "at random",
    "none": "never", "verify": "causal check", "remdm_cap": "ReMDM cap",
    "remdm_rescale": "ReMDM rescale", "remdm_conf": "ReMDM conf", "p2": "P2",
}  # fmt: skip
STARTING, STOPPED = "Starting", "Stopped."
HONEST = "The built-in model is small: it writes fluently and makes things up. Nothing you type is stored."


def choice(name: str) -> str:
    """Return how a choice reads on the page."""
    return CHOICES.get(name, name)
